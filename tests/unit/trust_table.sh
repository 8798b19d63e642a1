#!/bin/sh
# SPDX-License-Identifier: MIT
# trust_table.sh - every attack that we know of has a test that exists, or a sentence.
#
# RUN_ONCE: it reads the tree alone.
set -u
cd "$TOP" || exit 2
bad=0

# "covered by" of one attack's row.
covered() { # id
	sed -nE "s/^\| $1 \| [^|]+ \| (.*) \|\$/\1/p" docs/trust.md
}

# Each `FILE`: names... of the text: the file stands in the tree, and the names in the file.
tests_exist() { # text
	echo "$1" | grep -oE '`tests/[^`]+`(: [a-zA-Z0-9_, ]+)?' | while IFS= read -r ref; do
		file=$(echo "$ref" | sed -E 's/^`([^`]+)`.*/\1/')
		[ -e "$file" ] || echo "$file is missing"
		echo "$ref" | sed -nE 's/^`[^`]+`: //p' | tr ',' '\n' | while read -r name; do
			[ -z "$name" ] || grep -qF "$name" "$file" 2>/dev/null ||
				echo "$name is not in $file"
		done
	done
}

for id in $(for c in A:21 B:24 C:16 E:21 F:19 G:11 I:15; do
	seq -f "${c%:*}%g" 1 "${c#*:}"
done); do
	text=$(covered "$id")
	why=
	case $text in
	'') why="no row, or nothing in it" ;;
	*'`tests/'*) why=$(tests_exist "$text") ;;
	'By '*. | 'Not built yet: '*.) ;;
	*) why="neither a test nor a sentence" ;;
	esac
	if [ -z "$why" ]; then
		echo "ok $id"
	else
		echo "not ok $id - $why"
		bad=1
	fi
done
exit $bad
