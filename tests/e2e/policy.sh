#!/bin/sh
# SPDX-License-Identifier: MIT
# policy.sh - warder policy check, warder policy explain: what is printed and how they exit.
set -u
warder=$BUILD/warder
work=$(mktemp -d "${TMPDIR:-/tmp}/policy.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
umask 022
n=0 bad=0

# sentence, wanted status, wanted pattern of the output, command...
try() {
	sentence=$1 status=$2 pattern=$3
	shift 3
	n=$((n + 1))
	out=$("$@" 2>&1 </dev/null)
	got=$?
	if [ "$got" -eq "$status" ] && printf '%s\n' "$out" | grep -qE -- "$pattern"; then
		echo "ok $n - $sentence"
	else
		echo "not ok $n - $sentence"
		echo "# exit $got, wanted $status and /$pattern/:"
		printf '%s\n' "$out" | sed 's/^/#   /'
		bad=$((bad + 1))
	fi
}

mkdir src real real/sub
echo x >real/file
ln -s real link
cat >good.policy <<'EOF'
use agent
allow rwx ./src/
allow read ./link/
ask write ./real/sub/
deny any ./real/sub/key
expect deny write ./src/.git/config
expect allow read ./real/file
EOF
printf 'allow raed ./src/\nallow rw ./gone/\n' >bad.policy
printf 'allow read ./src/\nexpect deny read ./src/x\n' >unmet.policy
printf 'deny any **/.env\n' >warn.policy
: >none.policy

try "check of a good policy says so and exits 0" 0 '^good.policy: ok: [0-9]+ rules, 2 expectations$' \
	"$warder" policy check good.policy
try "check names file, line, column and the nearest word" 1 \
	'^bad.policy:1:7: error: unknown right "raed"; did you mean "read"\?$' "$warder" policy check bad.policy
try "check goes on to the next error" 1 '^bad.policy:2:10: error: .*/gone does not exist' \
	"$warder" policy check bad.policy
try "check shows the line with a caret" 1 '^          \^$' "$warder" policy check bad.policy
try "check prints no colour into a pipe" 1 '^bad.policy:1:7: error: ' "$warder" policy check bad.policy
try "check fails where an expect does not hold" 1 \
	'^unmet.policy:2:1: error: expected deny, but the verdict is allow, by unmet.policy:1$' \
	"$warder" policy check unmet.policy
# What does not say what its author expects starts nothing either.
mkdir -m 700 state run
mkdir out && chmod 777 out
chmod 755 . # the worker of root is another user
printf 'allow rw %s/out/\nexpect deny read %s/out/x\n' "$work" "$work" >whole.policy
for start in "run:125" "serve -n unmet:1"; do
	# One word or three.
	# shellcheck disable=SC2086
	try "${start%%[: ]*} starts nothing where an expect does not hold" "${start#*:}" \
		'^whole.policy:2:1: error: expected deny, but the verdict is allow, by whole.policy:1$' \
		env XDG_STATE_HOME="$work/state" XDG_RUNTIME_DIR="$work/run" "$warder" ${start%:*} \
		-p whole.policy -- touch "$work/out/started"
done
try "nothing was started" 1 '^$' test -e out/started
sed 's/deny/allow/' whole.policy >met.policy
try "run starts where it holds" 0 '^begun$' \
	env XDG_STATE_HOME="$work/state" "$warder" run -q -p met.policy -- \
	sh -c 'touch "$1" && echo begun' sh "$work/out/started"
try "check warns, and exits 0" 0 '^warn.policy:1:10: warning: a deny that starts with "\*\*" does not' \
	"$warder" policy check warn.policy
printf 'memory 4K\nworkers 400\n' >never.policy
try "check names a memory that nothing could run in" 1 \
	'^never.policy:1:8: error: "4K": no program can be loaded into less than 1M; write 1M at least$' \
	"$warder" policy check never.policy
try "and more workers than there can be" 1 \
	'^never.policy:2:9: error: "400" workers are too many; at most 64 run$' "$warder" policy check never.policy
try "the least memory and the most workers are no error" 0 'ok: 0 rules' \
	sh -c "printf 'memory 1M\\nworkers 64\\n' | '$warder' policy check -"
printf 'user no-such-user\nruntime %s/none\nledger %s/none/l.jsonl\n' "$work" "$work" >host.policy
for line in '1:6: warning: there is no user no-such-user on this host' \
	'2:9: warning: cannot look up .*/none on this host: No such file' \
	'3:8: warning: cannot look up .*/none, where the ledger would stand, on this host: No such file' \
	' ok: 0 rules'; do
	try "what this host lacks is a warning (${line%%:*})" 0 "^host.policy:$line" "$warder" policy check host.policy
done
try "and so is a descriptor" 0 '^stdin:1:8: warning: descriptor 99 is not open here' \
	sh -c "echo 'ledger fd:99' | '$warder' policy check -"
try "and an option" 0 '^--user: warning: there is no user no-such-user on this host' \
	"$warder" policy check --user no-such-user none.policy
try "what it has is none" 1 '^$' sh -c \
	"printf 'user nobody\\nruntime /usr\\nledger /tmp/l\\n' | '$warder' policy check - 2>&1 | grep warning"
printf 'allow raed /\nhome  /nowhere\n' >home.policy
try "a home that is missing is told beside other errors" 1 '^home.policy:2:7: error: home /nowhere: it is missing' \
	"$warder" policy check home.policy
try "and an error of a setting has its line" 1 '^    home  /nowhere$' "$warder" policy check home.policy
try "and its caret" 1 '^         \^$' "$warder" policy check -e 'home /nowhere' none.policy
try "check --json writes each error as a line" 1 \
	'^\{"event":"error","file":"bad.policy","line":1,"column":7,"text":"unknown right' \
	"$warder" policy check --json bad.policy
try "check --json ends with a count" 1 '^\{"event":"end","ok":false,"errors":2,' \
	"$warder" policy check bad.policy --json
try "a missing file cannot be told" 2 'gone.policy: error: cannot read .*gone.policy: No such file' \
	"$warder" policy check gone.policy
# What a line, a path or a name of a file holds does no harm on a terminal, nor forges a line.
bidi=$(printf '\342\200\256') c1=$(printf '\302\233')
newline=$(printf 'a\nfake: ok')
printf 'allow raed "./%sdwp" %s2J\n' "$bidi" "$c1" >raw.policy
cp none.policy "$newline"
try "a line is shown with what could do harm escaped" 1 '^    allow raed "\./\\xe2\\x80\\xaedwp" \\xc2\\x9b2J$' \
	"$warder" policy check raw.policy
printf 'allow read "./%s" raed\n' "$bidi" >caret.policy
try "and the caret stands where its column is" 1 "^ {4}( {28})\\^\$" "$warder" policy check caret.policy
try "a file's name ends no line of check" 0 '^a\\x0afake: ok: ok: 0 rules' "$warder" policy check "$newline"
try "nor of explain" 1 '^  to allow it once it is there, add: allow read "/srv/\\xc2\\x9b2J" optional$' \
	"$warder" policy explain none.policy read "/srv/${c1}2J"
printf 'allow read ./src/\ndeny any "./src/%sx"\n' "$c1" >deny.policy
try "nor of what to except" 1 'end deny.policy:2 with: except ".*/src/\\xc2\\x9bx"$' \
	"$warder" policy explain deny.policy read "./src/${c1}x"
chmod 666 warn.policy
try "a file that others can write cannot be told" 2 'chmod go-w' "$warder" policy check warn.policy
try "-e adds a line" 1 '^-e 1:7: error: unknown right|^-e 1.*: unknown right "raed"' \
	"$warder" policy check -e 'allow raed /' good.policy
try "--set gives a value" 0 'ok: 1 rule,' sh -c "echo 'allow read \$D/' | '$warder' policy check --set D=$work -"
try "the shipped presets are right" 0 '^agent: ok' "$warder" policy check agent
try "the shipped presets are right" 0 '^build: ok' "$warder" policy check build
try "the shipped presets are right" 0 '^convert: ok' "$warder" policy check convert

# No variable of the environment grants: neither leads to another policy of a preset's name.
mkdir -p xdg/warder xdg/.config/warder
for policy in xdg/warder xdg/.config/warder; do
	echo 'allow read /etc/' >"$policy/agent.policy"
	echo 'allow read /etc/' >"$policy/only-here.policy"
done
for name in XDG_CONFIG_HOME HOME; do
	try "$name replaces no shipped preset" 1 '^read: denied' \
		env "$name=$work/xdg" "$warder" policy explain agent read /etc/passwd
	try "$name names none of its own" 2 "only-here" \
		env "$name=$work/xdg" "$warder" policy explain only-here read /etc/passwd
done
try "the control: that policy grants" 0 '^read: allowed' \
	"$warder" policy explain xdg/warder/agent.policy read /etc/passwd

try "explain of what is allowed exits 0 and names the rule" 0 '^  asked    .*/src/x: allow, by good.policy:2$' \
	"$warder" policy explain good.policy write ./src/x
try "explain shows both spellings" 0 '^  reached  .*/real/file: allow, by good.policy:3$' \
	"$warder" policy explain good.policy read link/file
try "explain of a denial gives the line to add" 1 "^  to allow it, add: allow write $work/real/file\$" \
	"$warder" policy explain good.policy write "$work/real/file"
: >"$work/real/run.me" && ln -s run.me "$work/real/to" && ln -s nowhere "$work/real/dangling"
try "explain tells no line that the policy would refuse" 1 "^  no rule gives exec of one file beside create or delete of it" \
	"$warder" policy explain none.policy rwx "$work/real/run.me"
try "nor for what is missing" 1 "give exec a directory of its own" \
	"$warder" policy explain none.policy rwx "$work/real/missing"
try "but for a directory" 1 "^  to allow it, add: allow .*exec $work/real/\$" \
	"$warder" policy explain none.policy rwx "$work/real"
try "a symlink is made and removed beneath its directory" 1 "^  to allow it, add: allow delete $work/real/[*][*]/to\$" \
	"$warder" policy explain none.policy delete "$work/real/to"
try "and by one that leads nowhere nothing is" 1 "it is a symlink that leads nowhere" \
	"$warder" policy explain none.policy create "$work/real/dangling"
try "explain names a directory with its slash" 1 "^  to allow it, add: allow write $work/real/\$" \
	"$warder" policy explain good.policy write ./real
try "explain names the deny" 1 'no allow lifts a deny; to except it, end good.policy:5 with: except' \
	"$warder" policy explain good.policy read ./real/sub/key
try "an ask without an approver is a denial" 1 'by good.policy:4' \
	"$warder" policy explain good.policy write ./real/sub/x
try "explain knows the runtime" 0 ': allow, in the runtime tree /usr$' \
	"$warder" policy explain good.policy exec /usr/bin/env
try "explain knows what protects itself" 1 'by self-protection$' \
	"$warder" policy explain -e 'allow rw ./' none.policy write ./none.policy
for state in state/warder state/warder/run/x.jsonl; do
	try "explain knows that run protects $state" 1 'by self-protection$' env XDG_STATE_HOME="$work/state" \
		"$warder" policy explain -e 'allow rw ./' none.policy write "./$state"
done
try "and not what is beside it" 0 '^write: allowed$' env XDG_STATE_HOME="$work/state" \
	"$warder" policy explain -e 'allow rw ./' none.policy write ./state/other
try "explain of a socket that no rule gives names the line to add" 1 '^  to allow it, add: allow connect example.com:443$' \
	"$warder" policy explain good.policy connect example.com:443
try "explain --json" 1 '^\{"event":"explain","rights":"write","allowed":false,"verdict":"deny",.*"add":"allow write' \
	"$warder" policy explain --json good.policy write ./real/file
try "explain with a policy that has errors cannot tell" 2 'unknown right' \
	"$warder" policy explain bad.policy read ./src/x
try "explain names the nearest right" 2 'unknown right "raed"; did you mean "read"\?' \
	"$warder" policy explain good.policy raed ./src/x

try "--help goes to standard output with 0" 0 '^usage: warder policy check' "$warder" policy check --help
try "--help of explain" 0 '^usage: warder policy explain' "$warder" policy explain --help
try "policy --help" 0 '^usage: warder policy check' "$warder" policy --help
try "an unknown word gets the nearest" 2 'did you mean "check"\?' "$warder" policy chekc
try "an unknown option gets the nearest" 2 'did you mean --json\?' "$warder" policy check --jsno good.policy
try "a missing operand is said" 2 'a FILE is missing' "$warder" policy check
try "an operand too many is said" 2 '"x" is one operand too many' "$warder" policy check good.policy x

# ---- a directory that is no more --------------------------------------------------------------

from_gone() {
	mkdir gone
	(cd gone && rmdir ../gone && "$@")
}
for what in "check convert" "explain convert read ./x"; do
	# shellcheck disable=SC2086 # words
	try "policy $what in a removed directory says what to do" 2 'was it removed[?] give -C DIR$' \
		from_gone "$warder" policy $what
done
try "which works" 0 '^convert: ok' from_gone "$warder" policy check -C / convert

echo "1..$n"
[ "$bad" -eq 0 ]
