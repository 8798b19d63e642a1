#!/bin/sh
# SPDX-License-Identifier: MIT
# walk.sh - each function that a document names stands in the file it names.
#
# RUN_ONCE: it reads the tree alone.
set -u
cd "$TOP" || exit 2
bad=0

# A definition: at the start of a line a type, then the name; and it is no prototype.
defined() { # file function
	[ -e "$1" ] && grep -E "^[a-z].*[ *]$2\(" "$1" | grep -qv ';$'
}

for doc in docs/walk.md docs/architecture.md docs/trust.md README.md; do
	names=$(grep -oE '`[a-z]+/[a-z_]+\.c:[a-z_0-9]+`' "$doc" | tr -d '`' | sort -u)
	missing=
	for name in $names; do
		defined "${name%:*}" "${name#*:}" || missing="$missing $name"
	done
	if [ -z "$missing" ]; then
		echo "ok $doc names $(echo "$names" | grep -c .) functions that exist"
	else
		echo "not ok $doc -$missing"
		bad=1
	fi
done
if [ "$(grep -cE '`[a-z]+/[a-z_]+\.c:[a-z_0-9]+`' docs/walk.md)" -ge 12 ]; then
	echo "ok the walk has its steps"
else
	echo "not ok the walk has lost its steps"
	bad=1
fi

# Files that documents link to.
for doc in README.md docs/*.md; do
	for link in $(grep -oE '\]\([a-zA-Z][^):]*\)' "$doc" | sed -E 's/^\]\((.*)\)$/\1/; s/#.*//'); do
		[ -e "$(dirname "$doc")/$link" ] || { echo "not ok $doc links to $link"; bad=1; }
	done
done
exit $bad
