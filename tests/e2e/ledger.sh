#!/bin/sh
# SPDX-License-Identifier: MIT
# ledger.sh - warder ledger show: real ledgers, damaged ones, and names that mean harm.
#
# RUN_ONCE: it reads files alone.
. "$(dirname "$0")/lib.sh"

show() {
	"$warder" ledger show "$@"
}

record() { # seq event rest
	printf '{"seq":%s,"time":"2026-01-02T03:04:05.%09dZ","event":"%s","session":"%s"%s}\n' \
		"$1" "$1" "$2" "${session:-aa}" "$3"
}

grant='"op":"open","asked":"/srv/a","reached":"/srv/a","rule":"x.policy:3","us":'
{
	record 1 session ',"text":"warder run"'
	record 2 grant ",${grant}10"
	record 3 grant ",${grant}30"
	record 4 grant ',"op":"open","asked":"/srv/l","reached":"/srv/a","rule":"x.policy:3","us":20'
	record 5 deny ',"op":"open","asked":"/etc/shadow","error":"ENOENT","reason":"no rule names it"'
	record 6 deny ',"op":"open","asked":"/srv/key","rule":"x.policy:4","error":"EACCES"'
	record 7 fail ',"op":"open","asked":"/srv/none","rule":"x.policy:3","error":"ENOENT"'
	record 8 client ',"client":{"number":1,"uid":1000,"gid":1000,"pid":77}'
	record 9 exit ',"status":3'
	record 10 end ''
} >whole.jsonl

expect_status "--help exits with 0" 0 show --help
expect_text "and prints to standard output" "usage: warder ledger show" out
expect_status "without a file there is none yet" 2 show
expect_text "which is said" "there is no ledger in $XDG_STATE_HOME/warder/run yet"
mkdir -p "$XDG_STATE_HOME/warder/run"
cp whole.jsonl "$XDG_STATE_HOME/warder/run/20260101T000000.000000Z-7.jsonl"
record 1 grant ",${grant}10" >"$XDG_STATE_HOME/warder/run/20251231T235959.000000Z-8.jsonl"
expect_status "then it is the newest" 0 show
expect_text "by its name" "$XDG_STATE_HOME/warder/run/20260101T000000.000000Z-7.jsonl" out
expect_text "and what it holds" "/etc/shadow" out
expect_status "for a program too" 0 show -s --json
expect_text "alone" '"granted":3' out
check "without the name" test "$(grep -c '^{' out)" -eq "$(wc -l <out)"
expect_status "one at a time" 2 show a b
expect_status "a verb must be named" 2 "$warder" ledger
expect_text "with the usage" "usage: warder ledger show"
expect_status "and known" 2 "$warder" ledger verify whole.jsonl
expect_status "a mistyped verb gets the nearest" 2 "$warder" ledger shwo whole.jsonl
expect_text "by name" 'did you mean "show"?'
expect_status "a mistyped event gets the nearest" 2 show -e grnat whole.jsonl
expect_text "by name" 'did you mean "grant"?'
check "and no empty table" test ! -s out
expect_status "an event that is like none gets the list" 2 show -e x whole.jsonl
expect_text "of all" "session, start, spawn, grant"
expect_status "options may stand after the file" 0 show whole.jsonl -s --json
expect_text "and count" '"granted":3' out
: >-s
expect_status "but not after --" 0 show -s -- -s
expect_status "a file that is not there cannot be read" 2 show none.jsonl
expect_status "nor can a directory" 2 show .
expect_text "which is said" "cannot read .: Is a directory"
expect_status "an unknown option gets the nearest" 2 show --denid whole.jsonl
expect_text "by name" "--denied"

expect_status "a long option with one dash gets the other" 2 show -json whole.jsonl
expect_text "by name" "did you mean --json?"

{
	record 1 grant ',"op":"connect","type":"tcp","peer":"192.0.2.7:443","name":"h.example","local":"10.0.0.2:41000","rule":"x:1","fd":true'
	record 2 grant ',"op":"listen","type":"tcp","local":"127.0.0.1:80","rule":"x:2","fd":true'
	record 3 grant ',"op":"resolve","name":"h.example","rule":"x:1"'
	record 4 deny ',"op":"connect","type":"tcp","peer":"o.example:443","name":"o.example","error":"EACCES","reason":"no"'
	record 5 grant ',"op":"connect","type":"unix","socket":"stream","peer":"@a\u001b[2J","rule":"x:3","fd":true'
} >sockets.jsonl
expect_status "sockets" 0 show sockets.jsonl
expect_text "have their peer, its name and the own address" "connect   192.0.2.7:443 (h.example) from 10.0.0.2:41000  [x:1]" out
expect_text "or their own address" "listen    at 127.0.0.1:80  [x:2]" out
expect_text "a name that was looked up is told" "resolve   h.example  [x:1]" out
expect_text "and once" "connect   o.example:443  EACCES: no" out
expect_text "none steers the terminal" '@a\x1b[2J' out

{
	record 1 start ',"class":"start","number":0,"dev":6,"ino":3,"type":"char","name":"/dev/null","flags":"O_RDWR","reason":"in place of a directory"'
	record 2 start ',"class":"start","number":3,"domain":"unix","type":"unix","socket":"seqpacket","name":"socket:[7]","flags":"O_RDWR","text":"WARDER_FD"'
	record 3 start ',"class":"start","number":4,"domain":"ipv4","type":"tcp","socket":"stream","peer":"192.0.2.7:443","name":"socket:[8]","local":"10.0.0.2:41000","flags":"O_RDWR"'
	record 4 start ',"class":"start","number":5,"domain":"netlink","type":"socket","socket":"raw","name":"socket:[9]","flags":"O_RDWR"'
	record 5 start ',"class":"start","number":6,"type":"file","name":"/a\n\u001b[2J\u00ff","name_bytes":true,"flags":"O_RDONLY"'
	record 6 start ',"class":"runtime","runtime":["/usr","/o\u001bpt/\u00e9"],"runtime_bytes":true'
	record 7 client ',"class":"accepted","client":{"number":1,"uid":0,"gid":0,"pid":7},"domain":"unix","type":"unix","socket":"stream","local":"/run/t.sock","fd":true'
} >start.jsonl
expect_status "a start" 0 show start.jsonl
expect_text "has its descriptors" "start   fd 0      char /dev/null  O_RDWR: in place of a directory" out
expect_text "what they are for" "start   fd 3      unix seqpacket socket:[7]  O_RDWR  WARDER_FD" out
expect_text "where they lead" "fd 4      tcp stream 192.0.2.7:443 (socket:[8]) from 10.0.0.2:41000  O_RDWR" out
expect_text "of other domains too" "fd 5      netlink raw socket:[9]" out
expect_text "by names that do no harm" 'fd 6      file /a\x0a\x1b[2J\xff  O_RDONLY' out
expect_text "and its runtime" 'start   runtime   /usr, /o\x1bpt/\xe9' out
expect_text "a client has its socket" "client 1, uid 0, pid 7 at /run/t.sock" out
check "none of them is a grant" grep -qE '^all +0 +0 +0' out
expect_status "the start alone" 0 show -e start --json start.jsonl
check "is six records" test "$(wc -l <out)" -eq 6

expect_status "a whole ledger" 0 show whole.jsonl
expect_text "has its times" "2026-01-02 03:04:05.000  grant" out
expect_text "its paths" "/srv/l -> /srv/a  [x.policy:3]" out
expect_text "its reasons" "/etc/shadow  ENOENT: no rule names it" out
expect_text "its clients" "client 1, uid 1000, pid 77" out
check "and its sum" grep -qE '^all +3 +2 +1 +20 +20$' out
check "by rule" grep -qE '^x.policy:3 +3 +0 +1 +20 +20$' out
check "nothing on standard error" test ! -s err
expect_status "only what was denied" 0 show --denied whole.jsonl
check "is three lines" test "$(grep -cE ' (deny|fail) ' out)" = 3
expect_no_text "without grants" " grant " out
expect_status "only one event" 0 show -e client whole.jsonl
expect_no_text "is that" " deny " out
expect_status "only one rule" 0 show -r x.policy:4 --json whole.jsonl
check "as it stands in the file" test "$(cat out)" = "$(sed -n 6p whole.jsonl)"
expect_status "only the counts" 0 show -s --json whole.jsonl
expect_text "as JSON" '{"granted":3,"denied":2,"failed":1,"us_50":20,"us_99":20}' out
expect_status "standard input" 0 sh -c 'cat whole.jsonl | "$1" ledger show -' sh "$warder"

# ---- what counts -----------------------------------------------------------------------------------

mkdir made && mkdir made/full
[ "$(id -u)" != 0 ] || chown -R 65534:65534 made
"$warder" run -v --ledger "$dir/counted.jsonl" -e "allow rw $dir/made/" -C "$dir/made" -- sh -c '
	echo 1 >a; echo 2 >>a; cat a; mkdir b; mv a b/c; rmdir full b; rm b/c; mkdir b
	i=0; while [ $i -lt 40 ]; do cat /etc/shadow; i=$((i + 1)); done' >out 2>err
said=$(sed -nE 's/^.*: ([0-9]+) requests granted, ([0-9]+) denied.*/\1 \2/p' err)
expect_status "a real ledger" 0 show -s counted.jsonl
check "counts a file that was made once, and what failed as failed" grep -qE '^all +7 +40 +2 ' out
check "as the summary of the run does" test "$said" = "7 40"
{
	record 1 session ''
	record 2 grant ',"op":"open","flags":"O_WRONLY|O_CREAT","rule":"x:1"'
	record 3 grant ',"op":"open","flags":"O_WRONLY|O_CREAT","rule":"x:1","fd":true'
	record 4 fail ',"of":3,"error":"EMFILE"'
	record 5 grant ',"op":"open","flags":"O_RDONLY","rule":"x:2","fd":true'
	record 6 fail ',"of":9,"error":"EIO"'
	record 7 fail ',"of":3,"error":"EMFILE"'
	session=bb record 1 session ''
	session=bb record 2 fail ',"of":5,"error":"EIO"'
} >undelivered.jsonl
expect_status "what did not arrive" 0 show -s undelivered.jsonl
check "was not granted" grep -qE '^x:1 +0 +0 +2$' out
check "once, and in its own session" grep -qE '^x:2 +1 +0 +0$' out

# ---- damage -------------------------------------------------------------------------------------

sed 4d whole.jsonl >gap.jsonl
expect_status "a record that was taken out is missed" 1 show gap.jsonl
expect_text "with line and number" "line 4: 1 record is missing before number 5"
sed 1,3d whole.jsonl >head.jsonl
expect_status "so are the first ones" 1 show head.jsonl
sed '4{p;}' whole.jsonl >twice.jsonl
expect_status "one that comes twice is told" 1 show twice.jsonl
expect_text "with its number" "number 4 comes after number 4"
{ record 9223372036854775807 session ''; record 1 end ''; } >last.jsonl
expect_status "nothing comes after the last number there is" 1 show last.jsonl
expect_text "which is told" "line 2: number 1 comes after number 9223372036854775807"
head -c -20 whole.jsonl >torn.jsonl
expect_status "a torn tail is told" 1 show torn.jsonl
expect_text "as what it is" "line 10: the last record is torn off"
{ head -n 3 whole.jsonl; echo 'nonsense'; tail -n +4 whole.jsonl; } >noise.jsonl
expect_status "a line that is no record is told" 1 show noise.jsonl
expect_text "with its number" "line 4: no record"
expect_text "and its cause" "byte 8: '[' or '{' expected near 'nonsense'"
sed 's/$/\r/' whole.jsonl >crlf.jsonl
expect_status "one that was converted is told" 1 show crlf.jsonl
expect_text "line by line" "line 10: byte 80: it ends in CR LF"
expect_text "and shown all the same" "/srv/l -> /srv/a" out
{ head -c 700 whole.jsonl; cat whole.jsonl; } >amidst.jsonl
expect_status "one that was cut off and added to is told" 1 show amidst.jsonl
whole=$(head -c 700 whole.jsonl | wc -l)
expect_text "with the place of the cut" "line $((whole + 1)): no record: cut off after byte $(head -c 700 whole.jsonl | tail -n 1 | wc -c), where another begins"
expect_no_text "and the other is none the less read" "is missing"
{ head -n 3 whole.jsonl; head -n 4 whole.jsonl | tail -n 1 | head -c 50; echo; tail -n +5 whole.jsonl; } >cut.jsonl
expect_status "a line that was cut off is told" 1 show cut.jsonl
expect_text "with its length" "line 4: no record: cut off after byte 50"
{ head -n 3 whole.jsonl; head -c 300000 /dev/zero | tr '\0' '{'; echo; tail -n +4 whole.jsonl; } >huge.jsonl
expect_status "a huge line is told" 1 show huge.jsonl
expect_text "with its size" "line 4: no record: it has 300001 bytes, and none has more than 262144"
check "and no other" test "$(wc -l <err)" -eq 1
printf '{"a":"\033[2J\n' >foreign.jsonl
expect_status "a foreign line" 1 show foreign.jsonl
check "does not steer the terminal either" sh -c '! grep -q "$(printf "\033")" err'
yes '{"seq":' | head -n 30000 | tr -d '\n' >deep.jsonl
expect_status "many cuts in one line do no harm" 1 show deep.jsonl
printf '[1]\n{}\n\n' >other.jsonl
expect_status "other JSON is no ledger" 1 show other.jsonl
{ cat whole.jsonl; session=bb record 1 session ''; session=bb record 2 end ''; } >two.jsonl
expect_status "each session counts for itself" 0 show two.jsonl
head -c 100000 /dev/urandom >random.jsonl
expect_status "bytes from anywhere do no harm" 1 show random.jsonl
: >empty.jsonl
expect_status "an empty one is whole" 0 show empty.jsonl

# ---- names that mean harm -------------------------------------------------------------------------

{
	record 1 deny ',"op":"open","asked":"/\u001b]0;x\u0007\u001b[2J\n\u009b31m\u202eevil\u0000","rule":"\u001b[31m"'
	record 2 deny ',"op":"open","asked":"/caf\u00e9/\u0085\u00ff","asked_bytes":true'
} >hostile.jsonl
expect_status "hostile names" 0 show hostile.jsonl
check "are printed without a control character" sh -c \
	'! LC_ALL=C grep -q "[^[:print:][:space:]]" out && ! grep -q "$(printf "\033")" out'
expect_text "but shown" '/\x1b]0;x\x07\x1b[2J\x0a\xc2\x9b31m\xe2\x80\xaeevil\x00' out
expect_text "a name of bytes is those bytes" '/caf\xe9/\x85\xff' out

# ---- a real one -----------------------------------------------------------------------------------

"$warder" run -q --ledger real.jsonl -- true
expect_status "what warder writes is whole" 0 show real.jsonl
expect_text "with its session" "session" out
# A path of the command line's, like any other; the worker may not touch it where it may touch the rest.
mkdir -m 777 "a dir" && chmod 777 .
(cd "a dir" && "$warder" run -q -e "allow rw $dir/" --ledger ../above.jsonl -- \
	sh -c 'echo >>../above.jsonl || echo refused') >out 2>err
expect_text "a ledger in the directory above" '"event":"session"' above.jsonl
expect_text "which is nobody's to write in the cell" refused out
finish
