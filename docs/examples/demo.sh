#!/bin/sh
# SPDX-License-Identifier: MIT
# demo.sh - the main job, on this machine's own files.
#
# Starts `warder serve` with the built-in worker, has a client list, hash and identify a thousand
# real files, asks for what the policy denies, kills the worker in the middle, goes on, and shows
# the ledger.  Everything it writes stands in one temporary directory.
#
#     usage: demo.sh WARDER [FILES]
set -eu

warder=$1
files=${2:-1000}
case $warder in /*) ;; *) warder=$PWD/$warder ;; esac
cd "$(dirname "$0")" # so that rules are named demo.policy:4
work=$(mktemp -d "${TMPDIR:-/tmp}/warder-demo.XXXXXX")
chmod 755 "$work"
export XDG_RUNTIME_DIR="$work/run" XDG_STATE_HOME="$work/state"
mkdir -m 700 "$work/run" "$work/state"
mkdir -m 755 "$work/links"
service=

cleanup() {
	[ -z "$service" ] || kill "$service" 2>/dev/null || true
	[ -z "$service" ] || wait "$service" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() {
	printf '\n\033[1m%s\033[m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi
}

fail() {
	echo "demo: $*" >&2
	sed 's/^/    /' "$work/log" >&2 || true
	exit 1
}

ledgers() { # in order of time
	find "$work/state" -name '*.jsonl' | sort
}

# The worker's pid as its latest session tells it.
worker_pid() {
	ledgers | while read -r l; do
		grep '"event": *"spawn"' "$l"
	done | tail -n 1 | sed -nE 's/.*"pid": *([0-9]+).*/\1/p'
}

say "1. A service whose worker can open nothing"
"$warder" policy check --set "LINKS=$work/links" demo.policy
"$warder" serve -p demo.policy --set "LINKS=$work/links" -n demo >"$work/log" 2>&1 &
service=$!
i=0
until grep -qs 'serving at' "$work/log"; do
	kill -0 $service 2>/dev/null || { service=; fail "the service did not start"; }
	i=$((i + 1))
	[ $i -lt 200 ] || fail "the service is not ready after 10 s"
	sleep 0.05
done
cat "$work/log"
pid=$(worker_pid)
echo "the worker is process $pid; the kernel says of it:"
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$pid/status" | sed 's/^/    /'

# Plain names, so that this script can compare by line; everybody's files, since a worker started
# by root is uid 65534.
say "2. $files files of /usr/share and /etc: list, hash, identify"
find /usr/share /etc -xdev -type f -perm -004 -size -4096k 2>/dev/null |
	grep -E '^[A-Za-z0-9._+@/-]+$' | grep -vE '\.(pem|key)$|_key$|/(g?shadow|sudoers)' >"$work/all"
all=$(wc -l <"$work/all")
step=$((all / files + 1))
awk "NR % $step == 1 || $step == 1" "$work/all" >"$work/files"
awk "NR % $step == 2 && $step > 1" "$work/all" >>"$work/files"
head -n "$files" "$work/files" >"$work/chosen"
files=$(wc -l <"$work/chosen")
{
	sed 's|/[^/]*$||' "$work/chosen" | sort -u | sed 's/^/list /'
	sed 's/^/hash /' "$work/chosen"
	sed 's/^/identify /' "$work/chosen"
} >"$work/requests"
total=$(wc -l <"$work/requests")
echo "$total requests over one connection; the worker is killed in the middle"

# As long as requests are left: ask over one connection; end-of-file means a new worker.
: >"$work/answers"
begin=$(date +%s%N)
killed=
i=0
while [ "$(wc -l <"$work/answers")" -lt "$total" ]; do
	done_before=$(wc -l <"$work/answers")
	tail -n "+$((done_before + 1))" "$work/requests" |
		"$warder" call -n demo --lines >>"$work/answers" 2>>"$work/calls" &
	client=$!
	while [ -z "$killed" ] && kill -0 $client 2>/dev/null; do
		if [ "$(wc -l <"$work/answers")" -ge $((total / 2)) ]; then
			killed=$pid
			kill -9 "$killed"
		fi
	done
	wait $client || true
	i=$((i + 1))
	[ $i -lt 20 ] || fail "the service does not come back"
	# A frame half written is no answer.
	[ -z "$(tail -c 1 "$work/answers")" ] || sed -i '$d' "$work/answers"
done
end=$(date +%s%N)
[ -n "$killed" ] || fail "the worker was not killed: all was answered before"
new=$(worker_pid)
echo "worker $killed was killed and replaced by $new; all $total requests were answered in $(((end - begin) / 1000000)) ms"
[ "$new" != "$killed" ] || fail "the worker was not replaced"
grep -c '"result"' "$work/answers" >"$work/good" || true
echo "results: $(cat "$work/good"), refusals: $((total - $(cat "$work/good")))"

say "3. The same files by sha256sum"
sed -nE 's/.*"hash":"([0-9a-f]{64})".*"path":"([^"]*)".*/\1  \2/p' "$work/answers" | sort -k 2 >"$work/by-worker"
xargs -d '\n' sha256sum <"$work/chosen" | sort -k 2 >"$work/by-sha256sum"
cmp -s "$work/by-worker" "$work/by-sha256sum" ||
	{ diff "$work/by-worker" "$work/by-sha256sum" | head -n 5 >&2; fail "the hashes differ"; }
echo "$(wc -l <"$work/by-worker") hashes are equal"
echo "most frequent kinds:"
sed -nE 's/.*"mime":"([^";]*).*/\1/p' "$work/answers" | sort | uniq -c | sort -rn | head -n 5

say "4. What the policy denies"
ln -s /etc/shadow "$work/links/innocent"
ln -s /etc/hostname "$work/links/allowed"
refused() { # path
	if "$warder" call -n demo read "$1" >"$work/got" 2>&1; then
		fail "$1 was handed out"
	fi
	sed "s|^|$1: |" "$work/got"
}
refused /etc/shadow
refused "$work/links/innocent"
refused /etc/../etc/./shadow
refused /proc/self/root/etc/shadow
refused /root/.bashrc
echo "and a symlink to what is allowed: $("$warder" call -n demo --raw read "$work/links/allowed")"

say "5. The ledger"
kill -TERM $service
wait $service || fail "the service did not end with 0"
service=
# One ledger a slot and start; the sum of them all.
# shellcheck disable=SC2046 # names without blanks: made here
cat $(ledgers) | "$warder" ledger show -s - || fail "the ledger is damaged"
echo
# shellcheck disable=SC2046
cat $(ledgers) | "$warder" ledger show -d - | grep -E 'shadow|innocent' | head -n 6
