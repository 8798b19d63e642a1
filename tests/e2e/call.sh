#!/bin/sh
# SPDX-License-Identifier: MIT
# call.sh - warder call and the built-in worker on real files, and on what is not granted.
. "$(dirname "$0")/lib.sh"

mkdir -m 755 data data/sub
echo 'some text' >data/text
printf 'a\000b\377' >data/binary
: >data/empty
head -c 3000000 /dev/urandom >data/large
ln -s text data/link
ln -s /etc/shadow data/innocent
mkfifo data/fifo
chmod 644 data/[a-z]*[a-z] 2>/dev/null
chmod 755 data/sub
newline=$(printf 'data/new\nline')
: >"$newline"
latin=$(printf 'data/caf\351')
: >"$latin"
printf 'allow read %s/data/\n' "$dir" >files.policy

"$warder" serve -n files -p files.policy --status-fd 3 >serve.out 2>serve.err 3>status &
server=$!
pids="$pids $server"
wait_until grep -q '"start"' status

call() { # method params...
	"$warder" call -n files "$@"
}

expect_out() { # name text: of the last expect_status
	if [ "$(cat out)" = "$2" ]; then
		ok "$1"
	else
		not_ok "$1" "$(cat out)"
	fi
}

# ---- usage --------------------------------------------------------------------------------------

expect_status "--help exits with 0" 0 "$warder" call --help
expect_text "and prints to standard output" "usage: warder call" out
expect_status "a service must be named" 2 "$warder" call stat /
expect_status "but not twice" 2 "$warder" call -n a -s b stat /
expect_status "a method must be named" 2 call
expect_status "an option may stand after the method" 0 call stat --raw -h
expect_text "and is one" "usage: warder call" out
expect_status "one that there is not is said to be that" 2 call stat --timeout 3 "$dir/data"
expect_text "and is no JSON" "unknown option --timeout"
expect_status "a third operand is one too many" 2 call stat "$dir/data" x
expect_text "and said to be that" '"x" is one operand too many'
expect_status "parameters must be JSON" 2 call stat '{path}'
expect_text "and it says where" "column"
expect_status "a service that is not there cannot be asked" 2 "$warder" call -n nobody stat /
expect_text "which says what to do" "is \`warder serve\` running"
expect_status "nor one by a name that is none" 2 "$warder" call -n ../x stat /
expect_status "the socket itself will do" 0 "$warder" call -s "$dir/run/warder/files.sock" stat "$dir/data"

# ---- the methods --------------------------------------------------------------------------------

expect_status "stat" 0 call stat "$dir/data/text"
expect_text "tells type and size" '"type":"file","size":10,"mode":"0644"' out
expect_status "stat follows a link" 0 call stat "$dir/data/link"
expect_text "to its file" '"type":"file"' out
expect_status "or not" 0 call stat "{\"path\":\"$dir/data/link\",\"follow\":false}"
expect_text "as it is told" '"type":"link"' out
expect_status "list" 0 call list "$dir/data"
for name in '{"name":"text","type":"file"}' '{"name":"sub","type":"directory"}' \
	'{"name":"new\nline","type":"file"}' '{"name_base64":"Y2Fm6Q==","type":"file"}' \
	'"truncated":false'; do
	expect_text "has $name" "$name" out
done
expect_status "read" 0 call read "$dir/data/text"
expect_out "is text" '{"data":"some text\n","encoding":"utf-8","offset":0,"length":10,"size":10,"eof":true}'
expect_status "read of a part" 0 call read "{\"path\":\"$dir/data/text\",\"offset\":5,\"length\":2}"
expect_out "is that part" '{"data":"te","encoding":"utf-8","offset":5,"length":2,"size":10,"eof":false}'
expect_status "read of what is no text" 0 call read "$dir/data/binary"
expect_text "is base64" '"data":"YQBi/w==","encoding":"base64"' out
expect_status "read behind the end" 0 call read "{\"path\":\"$dir/data/text\",\"offset\":99}"
expect_text "is nothing, at the end" '"length":0,"size":10,"eof":true' out
expect_status "read of much" 0 call read "{\"path\":\"$dir/data/large\",\"length\":999999999}"
expect_text "is cut to what fits" '"length":393216' out
for file in text binary empty; do
	call read --raw "$dir/data/$file" >raw 2>/dev/null || call --raw read "$dir/data/$file" >raw
	check "--raw gives $file as it is" cmp raw "data/$file"
done
for file in text binary empty large; do
	sum=$(sha256sum <"data/$file" | cut -d' ' -f1)
	expect_status "hash of $file" 0 call hash "$dir/data/$file"
	expect_text "is that of sha256sum" "\"hash\":\"$sum\"" out
	call open "$dir/data/$file" >opened
	check "open passes $file" cmp opened "data/$file"
done
expect_status "identify" 0 call identify "$dir/data/text"
expect_text "is libmagic's word" '"mime":"text/plain; charset=us-ascii"' out
expect_status "identify of an empty file" 0 call identify "$dir/data/empty"
expect_text "says so" 'inode/x-empty' out

# ---- refusals -----------------------------------------------------------------------------------

for method in stat read hash identify open; do
	expect_status "$method of what no rule names is refused" 1 call $method /etc/shadow
	expect_text "in words" "/etc/shadow: no such file, or none that the policy names"
done
expect_status "a link out is refused" 1 call read "$dir/data/innocent"
expect_status "writing is refused" 1 call open "{\"path\":\"$dir/data/text\",\"access\":\"write\"}"
expect_text "with the reason" "the policy does not grant this"
expect_status "a directory is not read" 1 call read "$dir/data/sub"
expect_text "with the reason" "is a directory"
expect_status "a fifo is not read, and nobody waits" 1 timeout 20 "$warder" call -n files read "$dir/data/fifo"
expect_status "a missing file is missing" 1 call read "$dir/data/none"
expect_status "an unknown method is an error" 1 call shutdown
expect_text "that names those there are" "stat, list, read"
expect_status "wrong parameters are an error" 1 call read '{"path":7}'
expect_status "a relative path, too" 1 call read '{"path":"data/text"}'
expect_status "a negative offset, too" 1 call read "{\"path\":\"$dir/data/text\",\"offset\":-1}"
# A name that would steer a terminal comes out as \x1b.
expect_status "a hostile name is refused" 1 call read '{"path":"/\u001b[2J\u202e"}'
expect_no_text "and does not reach the terminal" "$(printf '\033')"
expect_text "but is shown" '\x1b[2J'

# ---- many ---------------------------------------------------------------------------------------

for file in text binary none; do
	echo "hash $dir/data/$file"
done >lines
expect_status "--lines ends with the worst status" 1 sh -c '"$1" call -n files --lines <lines' sh "$warder"
check "and answers each line with one" test "$(wc -l <out)" = 3
expect_text "with its parameters" "\"params\":{\"path\":\"$dir/data/text\"}" out
printf 'hash {oops\nhash \377\n\377 /x\nhash /\377\nhash %s\n' "$dir/data/text" >lines
expect_status "a line that nobody could be asked is answered too" 2 \
	sh -c '"$1" call -n files --lines <lines' sh "$warder"
check "and those after it" test "$(grep -c '"error":{"code":-32602' out).$(tail -n 1 out | grep -c '"result"').$(wc -l <out)" = 4.1.5
check "each with JSON" sh -c 'while read -r line; do printf "%s" "$line" | python3 -c "import json, sys; json.load(sys.stdin)" ||
	exit 1; done <out'
expect_text "that says why" '"message":"the parameters are no JSON: column 5' out
# Whoever asks line by line has the answer before the next.
mkfifo to from
"$warder" call -n files --lines <to >from 2>err &
asker=$!
exec 8>to 9<from
echo "hash $dir/data/text" >&8
check "an answer does not wait for the next line" timeout 20 head -n 1 <&9
exec 8>&- 9<&-
wait "$asker"
if [ -w /dev/full ]; then
	expect_status "what is passed and cannot be copied is told" 2 \
		sh -c '"$1" call -n files open "$2" >/dev/full' sh "$warder" "$dir/data/text"
fi

# ---- the end -------------------------------------------------------------------------------------

kill -s TERM "$server"
wait "$server"
check "the service ends with 0" test $? = 0
check "no worker complained" test ! -s serve.out
finish
