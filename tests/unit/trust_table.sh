#!/bin/sh
# SPDX-License-Identifier: MIT
# trust_table.sh - every attack that we know of has a test that exists, or a sentence.
#
# RUN_ONCE: it reads the tree alone.
#
# A test exists where its file defines a function of its name, or names a check whose first words it
# is: in a string, and with a part of it that a variable makes.  A comment that speaks of it is no
# test.
set -u
cd "$TOP" || exit 2
bad=0

# "covered by" of one attack's row.
covered() { # id
	sed -nE "s/^\| $1 \| [^|]+ \| (.*) \|\$/\1/p" docs/trust.md
}

# The lines of a file that are no comment.
code() { # file
	case $1 in
	*.sh) grep -vE '^[[:space:]]*#' "$1" ;;
	*) grep -vE '^[[:space:]]*(/\*|\*|//)' "$1" ;;
	esac
}

# In C a definition begins its line, in a script so does a function; a string begins with the name,
# or is, where the name begins or ends in "_", a variable there.
is_test() { # name file
	case $1 in
	_*) code "$2" | grep -qE "(\"|\}|\\\$[1-9])$1\"" ;;
	*_) code "$2" | grep -qE "\"$1(\\\$|%|\")" ;;
	*) code "$2" | grep -qE "^([A-Za-z_].*[ *])?$1\(|\"$1([^A-Za-z0-9_]|\$)|[A-Z]+\($1[,)]" ;;
	esac
}

# Each `FILE`: names... of the text: the file stands in the tree, and the names in the file.
tests_exist() { # text
	echo "$1" | grep -oE '`tests/[^`]+`(: [a-zA-Z0-9_, ]+)?' | while IFS= read -r ref; do
		file=$(echo "$ref" | sed -E 's/^`([^`]+)`.*/\1/')
		[ -e "$file" ] || echo "$file is missing"
		echo "$ref" | sed -nE 's/^`[^`]+`: //p' | tr ',' '\n' | while read -r name; do
			[ -z "$name" ] || is_test "$name" "$file" 2>/dev/null ||
				echo "$name is not in $file"
		done
	done
}

for id in $(for c in A:21 B:24 C:16 D:14 E:21 F:19 G:11 H:11 I:15; do
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
