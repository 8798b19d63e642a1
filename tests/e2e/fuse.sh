#!/bin/sh
# SPDX-License-Identifier: MIT
# fuse.sh - a tree whose file system's server does not answer: who asks there waits, nobody else.
#
# RUN_ONCE: root mounts it, and starts warder as itself and as uid 65534.

# In mounts of its own, which are gone with it however it ends: nobody could remove their directories.
[ "$(id -u)" != 0 ] || [ -n "${OWN_MOUNTS:-}" ] || OWN_MOUNTS=1 exec unshare -m "$0"

. "$(dirname "$0")/lib.sh"

sleepy=$BUILD/tests/fuse/sleepy
why=
[ -x "$sleepy" ] || why="needs libfuse3-dev at build time"
[ "$(id -u)" = 0 ] || why="needs root, to mount"
[ -c /dev/fuse ] || why="needs /dev/fuse, which is not there"
command -v fusermount3 >/dev/null || why="needs fusermount3"
[ -x /usr/bin/python3 ] || why="needs /usr/bin/python3"

python=/usr/bin/python3
mkdir -p data behind mnt other late shared/late
echo hello >data/file
echo hello >behind/file
echo waited >behind/slow
mkdir behind/sock behind/sock/full behind/made && chmod 777 behind/made
mkdir behind/bin && chmod 777 behind/bin
printf '#!/bin/sh\necho ran\n' >behind/bin/run
chmod 755 behind/bin/run
ln -s ../mnt/slow data/link
ln -s ../mnt/file data/near
ln -s other/slow away
cat >data/connect.py <<'PY'
import errno, os, socket, sys
for path in sys.argv[1:]:
    r = socket.socket(socket.AF_UNIX).connect_ex(path)
    print(errno.errorcode.get(r, r), "late" if os.path.exists("gate") else "at once", flush=True)
PY
# Connects to each path ("listen": binds it), and says what came of it, and when.
cat >data/sock.py <<'PY'
import errno, os, socket, sys
gate = sys.argv[1]
for word in sys.argv[2:]:
    what, kind, path = word.split(":", 2)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "dgram" else socket.SOCK_STREAM)
    try:
        if what == "bind":
            s.bind(path)
            s.listen()
            said = "bound"
        else:
            s.connect(path)
            said = s.recv(100).decode()
    except OSError as e:
        said = errno.errorcode.get(e.errno, e.errno)
    print(what, said, "late" if os.path.exists(gate) else "at once", flush=True)
    if what == "bind" and said == "bound":
        c = socket.socket(socket.AF_UNIX)
        c.connect(s.getsockname())
        print("met" if s.accept() else "", flush=True)
PY
# Asks by messages, docs/protocol.md; what is to wait is let go on here, when others were answered.
cat >data/ask.py <<'PY'
import array, errno, os, socket, struct, sys, time
gate, mode, top = sys.argv[1:4]
mnt, data = top + "/mnt/", top + "/data/"
door = socket.socket(fileno=int(os.environ["WARDER_FD"]))
OPS = ("hello open stat access readlink list mkdir rmdir unlink rename link symlink truncate chmod utimes "
       "watch connect listen resolve").split()
last = 0

def send(op, *requests):
    global last
    last += 1
    body = b""
    for flags, mode, path, path2 in requests:
        a, b = path.encode(), path2.encode()
        body += struct.pack("<IIQqqIIHH", flags, mode, 0, 0, 0, 0, 0, len(a), len(b)) + a + b
    door.send(struct.pack("<IIHH", 12 + len(body), last, OPS.index(op), len(requests)) + body)
    return last

def receive():
    fds = array.array("i")
    got, extra, flags, _ = door.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
    for level, kind, bytes in extra:
        fds.frombytes(bytes)
    size, id, op, count = struct.unpack_from("<IIHH", got)
    at, results = 12, []
    for i in range(count):
        r, n = struct.unpack_from("<iI", got, at)
        at += 8 + n
        results.append(os.read(fds.pop(0), 100).decode().strip() if r == 1 and OPS[op] == "open" else
                       "fd" if r == 1 else "yes" if r == 0 else errno.errorcode[-r])
    return id, results

def ask(*what):
    id = send(*what)
    assert receive()[0] == id

def one(path, flags=0, mode=0, path2=""):
    return flags, mode, path, path2

def waits(*what):
    id, other = send(*what), send("open", one(data + "file"))
    first = receive()
    if first != (other, ["hello"]):
        print("not first:", first)
        sys.exit(1)
    open(gate, "w").close()
    got, results = receive()
    assert got == id
    os.unlink(gate)
    print(what[0], *results, flush=True)

ask("hello", one("", 1))
if mode == "all":
    waits("open", one(mnt + "slow"))
    waits("stat", one(mnt + "slow"), one(data + "file"), one(mnt + "slow_none"))
    waits("access", one(mnt + "slow", os.R_OK))
    waits("mkdir", one(mnt + "bin/slow_dir", 0, 0o755))
    waits("list", one(mnt + "bin/slow_dir"))
    waits("rename", one(mnt + "bin/slow_dir", 0, 0, mnt + "bin/slow_other"))
    waits("symlink", one("text", 0, 0, mnt + "bin/slow_link"))
    waits("readlink", one(mnt + "bin/slow_link"))
    waits("unlink", one(mnt + "bin/slow_link"))
    waits("rmdir", one(mnt + "bin/slow_other"))
    waits("open", one(mnt + "bin/slow_new", os.O_CREAT | os.O_RDWR, 0o644))
    waits("chmod", one(mnt + "bin/slow_new", 0, 0o600))
    waits("truncate", one(mnt + "bin/slow_new"))
    waits("unlink", one(mnt + "bin/slow_new"))
    waits("open", one(data + "file"), one(data + "none"), one(data + "link"), one(mnt + "file"),
          one(mnt + "locked", os.O_WRONLY))
elif mode == "sockets":
    waits("connect", one(top + "/other/sock/slow.sock"))
    waits("connect", one(top + "/other/sock/slow_none"))
    waits("listen", one(top + "/other/made/slow.sock", 5, 0o600))
    waits("listen", one(top + "/other/made/slow.sock", 5, 0o600))
elif mode == "many":
    for i in range(70):
        send("open", one(mnt + "slow"))
    for i in range(6):
        print(receive()[1][0])
    open(gate, "w").close()
    print(sorted(receive()[1][0] for i in range(64)) == ["waited"] * 64, flush=True)
elif mode == "held":
    send("open", *[one(mnt + "slow")] * 64)
    open(gate, "w").close()
    results = receive()[1]
    print("waited" in results, "EMFILE" in results, results.count("waited") < 24, flush=True)
elif mode == "held_quick":
    send("open", *[one(data + "file")] * 64)
    results = receive()[1]
    print("hello" in results, "EMFILE" in results, results.count("hello") < 24, flush=True)
elif mode == "closes":
    for i in range(3):
        send("mkdir", one(mnt + "bin/slow_left", 0, 0o755))
    send("open", one(data + "file"))
    receive()
    door.close()
    time.sleep(0.5)
    sys.exit()
elif mode == "waits":
    send("open", one(data + "file"), one(mnt + "slow"))
    open("waiting", "w").close()
    print(*receive()[1], flush=True)
elif mode == "leaves":
    while True:
        for i in range(30):
            send("open", one(mnt + "file"), one(mnt + "none"), one(data + "near"))
        for i in range(30):
            r = receive()[1]
            assert r == ["hello", "ENOENT", "hello"], r
        print("done", flush=True)
        sys.stdin.readline() or sys.exit(0)
# A close waits too.
if mode in ("all", "sockets"):
    open(gate, "w").close()
PY
# Servers outside, which say as whom they see each client.
cat >serve.py <<'PY'
import os, selectors, socket, struct, sys
poll = selectors.DefaultSelector()
for path in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    os.chmod(path, 0o666)
    s.listen(100)
    poll.register(s, selectors.EVENT_READ)
# One that nobody accepts from, and no room left.
full = socket.socket(socket.AF_UNIX)
full.bind(sys.argv[1] + "/s")
os.chmod(sys.argv[1] + "/s", 0o666)
full.listen(0)
waits = socket.socket(socket.AF_UNIX)
waits.connect(sys.argv[1] + "/s")
print("ready", flush=True)
while True:
    for key, _ in poll.select():
        c = key.fileobj.accept()[0]
        _, uid, gid = struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        c.send(b"as %d:%d" % (uid, gid))
        c.close()
PY
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data behind

if [ -z "$why" ] && ! "$sleepy" "$dir/data/gate" behind mnt -o allow_other,default_permissions \
	2>mount.err; then
	why="needs a FUSE mount: $(cat mount.err)"
fi
[ -z "$why" ] || { skip "a file system whose server does not answer" "$why"; finish; }
# A caller that hangs in the file system dies with it.
unmount() {
	touch "$dir/data/gate"
	for at in "$dir/mnt" "$dir/other" "$dir/late" "$dir/shared/late"; do
		! mountpoint -q "$at" || fusermount3 -u "$at" || fusermount3 -uz "$at"
	done
}
trap 'unmount; cleanup' EXIT
"$sleepy" "$dir/data/gate" behind other -o allow_other,default_permissions

cat >policy <<END
allow rwx $dir/mnt/
allow rw $dir/data/
deny write **/locked
END
# A rule's place is none that the worker may change.
cat >policy.sockets <<END
allow rw $dir/data/
allow connect $dir/other/sock/* $dir/other/made/* $dir/here.sock
allow bind $dir/other/made/*
END
sed '$a limit held 24' policy >policy.held
sed "s,^allow connect.*,allow connect $dir/other/sock/* as broker," policy.sockets >policy.broker
sed "s,^allow connect.*,allow connect $dir/other/sock/full/* timeout 300ms," policy.sockets >policy.timeout
sed "s,^allow connect.*,allow connect $dir/other/sock/full/* timeout 5s," policy.sockets >policy.seen
sed "s,^allow connect.*,allow connect $dir/other/sock/* type dgram," policy.sockets >policy.dgram
touch data/gate
"$python" serve.py "$dir/other/sock/full" "$dir/other/sock/slow.sock" "$dir/other/sock/quick.sock" "$dir/here.sock" >served &
pids="$pids $!"
wait_until grep -q ready served
rm data/gate
echo key >behind/locked
chmod 666 behind/locked

as_root() {
	"$@"
}

as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# In the background, where the job is to be that very process.
in_place_as_root() {
	exec "$@"
}

in_place_as_nobody() {
	exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

policy=policy
in_cell() { # name, status, script
	ledger=$dir/book/$who.$n_tests
	# Whoever was left waiting by the test before goes first.
	touch data/gate && stat mnt/slow >/dev/null && sleep 0.2 && rm -f data/gate behind/made/*
	expect_status "$who: $1" "$2" "as_$who" "$warder" run -q -p "$policy" --ledger "$ledger" \
		--time 60s -C "$dir/data" -- sh -c "$3"
}

book_has() { # name, regular expression
	check "$who: $1" grep -qE "$2" "$ledger"
}

# Whoever waits at the gate where nobody is to wait is let go on in the end, and says so.
open_later() { # after so many seconds, 20
	after=${1:-20}
	(
		sleep "$after" &
		trap 'kill $!; exit' TERM
		wait && touch data/gate
	) &
	opener=$!
}

mkdir -m 777 book

for who in root nobody; do
	[ "$who" = root ] || chown -R 65534:65534 state run
	in_cell "what is there is read" 0 'cat ../mnt/file'
	check "$who: whole" grep -qx hello out
	book_has "with its record" "\"event\":\"grant\".*\"reached\":\"$dir/mnt/file\".*\"type\":\"file\".*\"fd\":true"
	in_cell "what is denied there is not" 2 'echo x >>../mnt/locked'
	expect_text "$who: as elsewhere" "Permission denied"
	book_has "with its record too" '"event":"deny".*mnt/locked.*"policy:3"'
	in_cell "what is missing is missing" 1 'cat ../mnt/none'
	expect_text "$who: as elsewhere too" "No such file"
	in_cell "all kinds of changes are made there" 0 '
		cd ../mnt && mkdir d && echo one >d/a && echo two >>d/a && mv d/a d/b && ln -s b d/l &&
		chmod 600 d/b && touch -d 2001-02-03 d/b && cat d/l && ls d && : >d/b && test ! -s d/b &&
		truncate -s 5 d/b && rm d/l d/b && rmdir d'
	check "$who: one by one" test "$(tr '\n' ' ' <out)" = "one two b l "
	for op in mkdir rename symlink chmod utimes unlink rmdir; do
		book_has "with a record of $op" "\"event\":\"grant\".*\"op\":\"$op\".*$dir/mnt/d"
	done
	check "$who: whose numbers have no hole" sh -c \
		'sed -E "s/^.\"seq\":([0-9]+),.*/\1/" "$1" | awk "\$1 != NR { exit 1 }"' sh "$ledger"
	in_cell "programs run there" 0 '../mnt/bin/run'
	check "$who: by the exec rule" grep -qx ran out
	book_has "which is in the book" '"op":"exec".*mnt/bin/run'
	in_cell "others are served while one waits for the server" 0 \
		'cat ../mnt/slow & sleep 0.2; cat file; echo new >n; mv n m; cat m ../mnt/file; rm m
		 echo open >gate; wait'
	check "$who: each of them, and it after them" \
		test "$(tr '\n' ' ' <out)" = "hello new hello waited "
	in_cell "and while one waits where a symlink leads" 0 \
		'cat link & sleep 0.2; cat file near; echo open >gate; wait'
	check "$who: which is no other" test "$(tr '\n' ' ' <out)" = "hello hello waited "
	book_has "in the book" "\"asked\":\"$dir/data/link\",\"reached\":\"$dir/mnt/slow\""
	in_cell "and while many wait" 0 \
		'i=0; while [ $i -lt 30 ]; do cat ../mnt/slow & : >>../mnt/slow & i=$((i + 1)); done
		 sleep 0.2; cat file; echo open >gate; wait'
	check "$who: each of which is answered" test "$(grep -c waited out)" = 30
	in_cell "a caller that is killed as it waits holds up nobody" 0 \
		'timeout -s KILL 0.3 cat ../mnt/slow; timeout -s KILL 0.3 mkdir ../mnt/bin/slowly; cat file'
	check "$who: nor the end of the session" grep -qx hello out
	check "$who: nothing was made for it" test ! -e behind/bin/slowly
	open_later
	in_cell "a socket that no rule names is not looked for there" 0 \
		"$python connect.py $dir/other/slow.sock $dir/away $dir/other/none/x $dir/none; cat file"
	check "$who: so that nobody waits" test "$(tr '\n' ' ' <out)" = \
		"ENOENT at once ENOENT at once ENOENT at once ENOENT at once hello "
	kill "$opener"
	for at in other/slow.sock away other/none/x; do
		book_has "each is a denial" "\"event\":\"deny\".*\"op\":\"connect\",\"asked\":\"$dir/$at\""
	done
	check "$who: but for what the host lacks elsewhere" sh -c "! grep -q '\"deny\".*$dir/none' $ledger"
	touch data/gate

	open_later 100
	policy=policy.sockets
	in_cell "a socket that a rule names is connected to there" 0 \
		"echo as \$(id -u):\$(id -g); $python sock.py gate connect:stream:$dir/other/sock/quick.sock"
	check "$who: as the worker" sh -c "[ \"connect \$(sed -n 1p out) at once\" = \"\$(sed -n 2p out)\" ]"
	book_has "in the book" "\"event\":\"grant\".*\"op\":\"connect\".*\"reached\":\"$dir/other/sock/quick.sock\".*\"rule\":\"policy.sockets:2\""
	in_cell "others are served while one waits to connect there" 0 \
		"$python sock.py gate connect:stream:$dir/other/sock/slow.sock >waits & sleep 0.2; cat file
		 $python sock.py gate connect:stream:$dir/here.sock; cat file >gate; wait; cat waits"
	check "$who: by the dialer too" grep -qE '^connect as [0-9]+:[0-9]+ at once$' out
	check "$who: and it after them" grep -qE '^connect as [0-9]+:[0-9]+ late$' out
	check "$who: all as the worker" test "$(grep -o 'as [0-9:]*' out | sort -u | wc -l)" = 1
	book_has "once, before" "\"event\":\"grant\".*\"op\":\"connect\".*other/sock/slow.sock"
	check "$who: and no more" test "$(grep -c '"op":"connect".*slow.sock' "$ledger")" = 1
	in_cell "and while one waits to bind there" 0 \
		"$python sock.py gate bind:stream:$dir/other/made/slow.sock >waits & sleep 0.2; cat file
		 cat file >gate; wait; cat waits; "
	check "$who: which is met there by its name" \
		test "$(tr '\n' ' ' <out)" = "hello bind bound late met "
	book_has "it is a grant" "\"event\":\"grant\".*\"op\":\"bind\".*other/made/slow.sock"
	policy=policy.broker
	in_cell "a rule as broker waits no less" 0 \
		"$python sock.py gate connect:stream:$dir/other/sock/slow.sock >waits & sleep 0.2; cat file
		 cat file >gate; wait; cat waits"
	check "$who: and shows the broker" grep -qE "^connect as $([ "$who" = root ] && echo 0:0 || echo 65534:65534) late" out
	policy=policy.timeout
	in_cell "a full backlog there is waited for" 0 \
		"$python sock.py gate connect:stream:$dir/other/sock/full/s; cat file"
	check "$who: for as long as the rule says" grep -qx "connect ETIMEDOUT at once" out
	book_has "which the book says" '"event":"fail".*ETIMEDOUT.*"of":[0-9]+'
	ledger=$dir/book/$who.seen
	"in_place_as_$who" "$warder" run -q -p policy.seen --ledger "$ledger" -C "$dir/data" -- \
		"$python" sock.py gate "connect:stream:$dir/other/sock/full/s" >out 2>err &
	broker=$!
	pids="$pids $broker"
	whole() {
		set -- $(cat "/proc/$broker/task/$broker/children")
		test $# -eq 4 && grep -qE '^Uid:.65534.65534.65534.65534$' "/proc/$4/status" &&
			grep -qE '^Gid:.65534.65534.65534.65534$' "/proc/$4/status"
	}
	check "$who: whoever connects there is no other user, in none of its ids" wait_until whole
	wait "$broker"
	"as_$who" "$warder" run -q -p policy.sockets --ledger "$dir/book/$who.time" --time 1s \
		-C "$dir/data" -- \
		"$python" sock.py gate "connect:stream:$dir/other/sock/slow.sock" >out 2>err
	check "$who: the session's time ends it" test $? = 137
	policy=policy.dgram
	in_cell "datagrams are not sent there" 0 "$python sock.py gate connect:dgram:$dir/other/sock/slow.sock"
	check "$who: and nobody waits" grep -qx "connect EACCES at once" out
	book_has "it is a denial" '"event":"deny".*"op":"connect".*slow.sock.*server may not answer'
	policy=policy.sockets
	in_cell "one who is killed as it connects holds up nobody" 0 \
		"timeout -s KILL 0.3 $python sock.py gate connect:stream:$dir/other/sock/slow.sock
		 timeout -s KILL 0.3 $python sock.py gate bind:stream:$dir/other/made/slow.sock; cat file"
	check "$who: nor the end" grep -qx hello out
	check "$who: nothing is bound for it" test ! -e behind/made/slow.sock
	policy=policy
	in_cell "what is asked by a message waits for the server, and others are answered" 0 \
		"$python ask.py gate all $dir"
	check "$who: whatever it is, in its order" test "$(tr '\n' ' ' <out)" = \
		"open waited stat yes yes ENOENT access yes mkdir yes list yes rename yes symlink yes readlink yes unlink yes rmdir yes open  chmod yes truncate yes unlink yes open hello ENOENT waited hello EACCES "
	policy=policy.sockets
	in_cell "and so do its sockets" 0 "$python ask.py gate sockets $dir"
	check "$who: which come" test "$(tr '\n' ' ' <out)" = \
		"connect fd connect ENOENT listen fd listen EADDRINUSE "
	for op in connect listen; do
		book_has "each with its record of $op" \
			"\"event\":\"grant\",.*\"door\":\"ask\",\"op\":\"$op\",.*slow.sock\".*\"fd\":true"
	done
	check "$who: and no more" test "$(grep -c '"event":"grant".*slow.sock' "$ledger")" = 2
	policy=policy
	in_cell "more than sixty-four are refused" 0 "$python ask.py gate many $dir"
	check "$who: and no other" test "$(tr '\n' ' ' <out)" = \
		"EAGAIN EAGAIN EAGAIN EAGAIN EAGAIN EAGAIN True "
	check "$who: of each there is a record" test "$(grep -c '"event":"deny".*mnt/slow.*EAGAIN' "$ledger")" -ge 1
	policy=policy.held
	in_cell "what is held is limited" 0 "$python ask.py gate held $dir"
	check "$who: within a message too" grep -qx "True True True" out
	in_cell "as it is of one that waits for nobody" 0 "$python ask.py gate held_quick $dir"
	check "$who: in the same way" grep -qx "True True True" out
	policy=policy
	in_cell "a worker that closes its channel calls them off" 0 "exec $python ask.py gate closes $dir"
	touch data/gate
	check "$who: all of them" sh -c "sleep 0.3; ! grep -q mkdir $ledger && test ! -e behind/bin/slow_left"
	policy=policy.sockets
	rm -f data/gate
	for op in connect:stream:sock bind:stream:made asked; do
		ledger=$dir/book/$who.end.${op%%:*}
		rm -f data/waiting behind/made/slow.sock
		script="$python sock.py gate ${op%:*}:$dir/other/${op##*:}/slow.sock & echo >waiting; wait"
		[ "$op" != asked ] || policy=policy
		[ "$op" != asked ] || script="$python ask.py gate waits $dir"
		"in_place_as_$who" "$warder" run -q -p $policy --ledger "$ledger" -C "$dir/data" -- sh -c "$script" &
		broker=$!
		pids="$pids $broker"
		wait_until test -e data/waiting
		sleep 0.3
		kill -TERM "$broker"
		wait "$broker"
		check "$who: SIGTERM ends a session in which one waits (${op%%:*})" test $? = 143
		check "$who: its book is closed" grep -q '"event":"end"' "$ledger"
		check "$who: and nobody was let go on" test ! -e data/gate
	done
	book_has "what was promised in a message does not come" '"event":"fail".*"of":[0-9]+'
	# As when there is no memory: the child that serves a message is killed.
	rm -f data/waiting
	ledger=$dir/book/$who.killed
	"in_place_as_$who" "$warder" run -q -p policy --ledger "$ledger" -C "$dir/data" -- \
		"$python" ask.py gate waits "$dir" >out 2>err &
	broker=$!
	pids="$pids $broker"
	wait_until test -e data/waiting
	sleep 0.3
	kill -KILL "$(tr ' ' '\n' <"/proc/$broker/task/$broker/children" | grep . | tail -n 1)"
	touch data/gate
	wait "$broker"
	check "$who: a child that ends early answers nothing" grep -qx "EIO EIO" out
	book_has "nor is what it promised" '"event":"fail".*"of":[0-9]+'
	kill "$opener"
	policy=policy
done

# What is mounted later is known too.
mkfifo hold
rm -f data/gate
"$warder" run -q -p policy --ledger "$dir/book/late" -C "$dir/data" -- sh -c \
	"$python connect.py $dir/late/slow.sock; read -r line; $python connect.py $dir/late/slow.sock; cat file" \
	>out 2>err <hold &
broker=$!
pids="$pids $broker"
exec 4>hold
wait_until grep -q ENOENT out
"$sleepy" "$dir/data/gate" behind late -o allow_other,default_permissions
echo >&4
open_later
wait "$broker"
kill "$opener"
check "nor is one on a file system that was mounted meanwhile" \
	test "$(tr '\n' ' ' <out)" = "ENOENT at once ENOENT at once hello "
check "of which there was nothing before" test "$(grep -c '"event":"deny".*late/slow' book/late)" = 1
exec 4>&-
fusermount3 -u late

# In root host it is in the worker's view as well.
cat >policy.host <<END
root host
accept missing uid
allow rw $dir/data/
allow rw $dir/shared/
allow connect $dir/other/sock/*
END
for who in root nobody; do
	touch data/gate && stat mnt/slow >/dev/null && sleep 0.2 && rm -f data/gate
	[ "$who" = root ] || chown -R 65534:65534 state run
	in_place_as_$who "$warder" run -q -p policy.host --ledger "$dir/book/host.$who" -C "$dir/data" -- \
		sh -c 'read -r line; cat ../shared/late/slow & sleep 0.2; cat file; echo open >gate; wait' \
		>out 2>err <hold &
	broker=$!
	pids="$pids $broker"
	exec 4>hold
	wait_until grep -q '"event":"spawn"' "book/host.$who"
	"$sleepy" "$dir/data/gate" behind shared/late -o allow_other,default_permissions
	echo >&4
	exec 4>&-
	open_later
	wait "$broker"
	kill "$opener"
	check "$who: nobody waits for what is mounted later, in root host" \
		test "$(tr '\n' ' ' <out)" = "hello waited "
	policy=policy.host
	in_cell "and a socket there is connected to" 0 \
		"$python sock.py gate connect:stream:$dir/other/sock/quick.sock"
	check "$who: as the worker too" grep -qE "^connect as 65534:65534 at once$" out
	fusermount3 -u shared/late
done
rm -f data/gate

# More than a second's worth, each in a child: all are reaped, and no descriptor is left.
"$warder" run -q -p policy --time 60s -C "$dir/mnt" -- sh -c \
	'i=0; cat file; while [ $i -lt 300 ]; do read -r line <file; i=$((i + 1)); done; echo done; read -r line' \
	>out 2>err <hold &
broker=$!
pids="$pids $broker"
exec 4>hold
wait_until grep -q hello out
descriptors() {
	set -- "/proc/$broker/fd"/*
	echo $#
}
before=$(descriptors)
wait_until grep -q done out
check "three hundred opens are made" grep -q done out
check "and leave no descriptor behind" test "$(descriptors)" -le "$before"
children() {
	test "$(wc -w <"/proc/$broker/task/$broker/children")" -eq 2
}
check "and no child" wait_until children
exec 4>&-
wait "$broker"

"$warder" run -q -p policy --time 60s -C "$dir/data" -- "$python" ask.py gate leaves "$dir" >out 2>err <hold &
broker=$!
pids="$pids $broker"
exec 4>hold
wait_until grep -q done out
before=$(descriptors)
for n in 2 3 4; do
	echo >&4
	enough() {
		test "$(grep -c done out)" = "$n"
	}
	wait_until enough
done
check "hundreds of messages are answered by children" enough
check "and leave no descriptor behind either" test "$(descriptors)" -le "$before"
check "and no child either" wait_until children
exec 4>&-
wait "$broker"
# What no rule names is asked of no server, and at the end, for the summary, neither.
rm -f data/gate
"$warder" run -v -e "allow rw $dir/data/" -C "$dir/data" -- \
	sh -c "cat $dir/mnt/slow $dir/mnt/nothing $dir/nothing" >out 2>err &
broker=$!
pids="$pids $broker"
gone() {
	! kill -0 "$broker" 2>/dev/null
}
check "a name of a server that does not answer does not hold up the end" wait_until gone
expect_text "it is listed, since nobody was asked whether it is there" "denied read $dir/mnt/slow"
expect_text "another there as well" "denied read $dir/mnt/nothing"
expect_no_text "and what the host does not have is not" "denied read $dir/nothing"
touch data/gate
wait "$broker"

finish
