#!/bin/sh
# SPDX-License-Identifier: MIT
# documented.sh - the policies that the manual pages and the README show load.
#
# What they name is made here: "~/" and an absolute path that this host lacks stand below a directory
# of the test's.
. "$(dirname "$0")/lib.sh"

# Each display of a manual page and each indented block of the README that is a policy: to pages.N, with
# where it stands in pages.N.from.  A block may begin with "$ cat NAME"; other commands end it.
extract() { # kind file
	awk -v kind="$1" -v file="$2" -v at="$dir/pages" '
		function put(line) {
			if (n == 0) {
				count++
				out = at "." name "." count
				print file ":" NR > (out ".from")
			}
			n++
			print line > out
		}
		BEGIN {
			name = file
			gsub(/.*\//, "", name)
			words = "^(use|set|include|allow|deny|ask|expect|root|runtime|user|env|home|tmp|memory|" \
				"tasks|files|cpu|time|limit|accept|ledger|clients|workers)[ \t]"
		}
		kind == "man" && /^\.Bd -literal/ { inside = 1; n = 0; next }
		kind == "man" && /^\.Ed/ { inside = 0 }
		kind == "readme" { inside = sub(/^    /, ""); if (!inside) n = 0 }
		!inside { next }
		/^\$ cat / { n = 0; next }
		$0 ~ words && $2 != "=" { put($0); next }
		n > 0 && /^(#|$)/ { put($0); next }
		{ n = 0 }
	' "$2"
}

# A path of a policy as this test has it, made if it is to be there.
place() { # word
	case $1 in
	"~/"*) word=$dir/t/home/${1#"~/"} ;;
	./*) word=$dir/t/start/${1#./} ;;
	/*)
		word=$1
		[ ! -e "${1%%[*?[]*}" ] || return 0
		word=$dir/t/root$1
		;;
	*) word=$1 && return 0 ;;
	esac
	made=${word%%[*?[]*}
	case $made in
	*/) mkdir -p "$made" ;;
	*) mkdir -p "${made%/*}" && : >"$made" ;;
	esac
}

# The policy with what it names made.
prepare() { # from to
	while read -r line; do
		row=
		# shellcheck disable=SC2086 # words
		set -f && set -- $line && set +f
		for word in "$@"; do
			case $word in
			"#"*) break ;;
			"~") word=$dir/t/home ;;
			*) place "$word" ;;
			esac
			row="$row $word"
		done
		echo "$row"
	done <"$1" >"$2"
}

for page in "$TOP"/docs/man/*.[1-9]; do
	extract man "$page"
done
extract readme "$TOP/README.md"

n_found=0
for from in pages.*.from; do
	policy=${from%.from}
	n_found=$((n_found + 1))
	rm -rf t && mkdir -p t/home t/run t/start
	prepare "$policy" "$dir/shown.policy"
	: >t/run/agent.sock
	expect_status "$(sed 's|.*/\([^/]*\)$|\1|' "$from") loads" 0 "$warder" policy check -C t \
		--set "SSH_AUTH_SOCK=$dir/t/run/agent.sock" shown.policy
done
check "there are at least 10" test "$n_found" -ge 10

# What `home` is for: without it the worker's HOME is a private directory.
rm -rf t && mkdir -p t/home && echo secret >t/home/.pgpass
[ "$(id -u)" != 0 ] || chown -R 65534:65534 t/home
look() { "$warder" run -q -e "allow read $dir/t/home/.pgpass" "$@" -- sh -c 'cat "$HOME/.pgpass"'; }
expect_status "a client that looks below HOME finds what home and a rule give" 0 look --home "$dir/t/home"
expect_status "and not without home" 1 look

finish
