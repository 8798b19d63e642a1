#!/bin/sh
# SPDX-License-Identifier: MIT
# options.sh - --help and the man pages name the same options.  RUN_ONCE
. "$(dirname "$0")/lib.sh"

# Long options in a text, once each, sorted.
long_options() {
	grep -oE '(^|[^a-z-])--[a-z]+(-[a-z]+)*' | grep -oE -- '--[a-z-]+' | sort -u
}

for command in run serve call doctor "ledger show" "policy check" "policy explain"; do
	page=$TOP/docs/man/warder-${command%% *}.1
	"$warder" $command --help | grep -E '^ +(-|--)' | long_options >help.options
	grep -E '^\.(It )?Fl ' "$page" | grep -oE '(Fl|, Fl) -[a-z]+(-[a-z]+)*' |
		sed -E 's/.*Fl -/--/' | sort -u >page.options
	check "$command: --help names options" test -s help.options
	check "$command: every option of --help stands in the man page" \
		sh -c '! comm -23 help.options page.options | grep .'
	check "$command: every option of the man page stands in --help" \
		sh -c '! comm -13 help.options page.options | grep .'
done

# A misspelled option of warder's own is not taken for one of a command.
expect_status "warder --versoin is none" 2 "$warder" --versoin
expect_text "and what was meant is told" "did you mean --version?"
expect_status "warder --policy is none either" 2 "$warder" --policy
expect_text "but run has it" "\`warder run --policy ...\`"

# What cannot be printed is said, in one sentence.
"$warder" run -q --ledger "$dir/book.jsonl" -- true
for command in --help --version help "help run" "serve --help" "call --help" "ledger --help" \
	"ledger show book.jsonl" "policy --help" "policy check agent" "doctor --help" doctor "run --help"; do
	wanted=2
	[ "$command" != "run --help" ] || wanted=125
	# One word or several.
	# shellcheck disable=SC2086
	if [ -w /dev/full ]; then
		"$warder" $command >/dev/full 2>err
		check "$command on a full disk: exit status" test $? -eq $wanted
		check "$command on a full disk: one sentence" \
			test "$(cat err)" = "warder: cannot write to standard output: No space left on device"
	fi
	# shellcheck disable=SC2086
	"$warder" $command >&- 2>err
	check "$command to what is closed: exit status" test $? -eq $wanted
	check "$command to what is closed: one sentence" \
		test "$(cat err)" = "warder: cannot write to standard output: Bad file descriptor"
done

if command -v mandoc >/dev/null; then
	for page in warder warder-run warder-serve; do
		check "$page.1: mandoc has nothing to say" \
			sh -c '! mandoc -T lint "$1" | grep .' sh "$TOP/docs/man/$page.1"
	done
else
	skip "man pages" "mandoc is missing"
fi

# Every target that `make help` lists exists.
make -s -C "$TOP" help | sed -nE 's/^  ([a-z-]+) .*/\1/p' >targets
check "make help lists targets" test "$(wc -l <targets)" -gt 10
# All in one make but deps, after which make is run anew: each asks the compiler first what it can.
dry() {
	make -s -n -k -C "$TOP" BUILD="$BUILD" "$@"
}
# shellcheck disable=SC2046 # words
dry $(grep -vx deps targets) >made 2>&1
status=$?
if grep -qx deps targets; then
	dry deps >>made 2>&1 || status=$?
fi
while read -r target; do
	check "make $target is a target" sh -c '! grep -E "No rule to make target .$1.[.,]" made' sh "$target"
done <targets
check "each can be made" sh -c 'grep "[*][*][*]" made; exit "$1"' sh $status

finish
