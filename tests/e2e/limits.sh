#!/bin/sh
# SPDX-License-Identifier: MIT
# limits.sh - what does not work in a cell, as docs/limits.md says it.
#
# Each is tried outside first where it could be missing there too, so that it is the cell that says
# no.
. "$(dirname "$0")/lib.sh"

mkdir data && echo text >data/file && ln -s file data/link && mkfifo data/fifo && mkdir data/sub
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data

# In a cell with the tree `data`.
tree='allow rwx ./'
inside() { # command...
	"$warder" run -q -C "$dir/data" -e "$tree" "$@"
}

# What a line of Python prints in the cell; `call` is syscall(2) and gives the errno's name or "ok".
python() { # name wanted code [rule]
	name=$1 wanted=$2
	cat >call.py <<-'PY'
		import ctypes, errno, fcntl, os, platform, socket, stat, struct
		libc = ctypes.CDLL(None, use_errno=True)
		def call(*args):
		    r = libc.syscall(*args)
		    return "ok" if r >= 0 else errno.errorcode[ctypes.get_errno()]
		def attempt(f, *args, **more):
		    try:
		        f(*args, **more)
		        return "ok"
		    except OSError as e:
		        return errno.errorcode[e.errno]
		NR = {"x86_64": {"io_uring_setup": 425, "openat2": 437, "mount": 165, "clone3": 435,
		                 "ptrace": 101},
		      "aarch64": {"io_uring_setup": 425, "openat2": 437, "mount": 40, "clone3": 435,
		                  "ptrace": 117}}[platform.machine()]
		def openat2(path, flags, resolve):
		    how = struct.pack("QQQ", flags, 0, resolve)
		    return call(NR["openat2"], -100, path.encode(), how, len(how))
	PY
	printf '%s\n' "$3" >>call.py
	got=$(inside ${4:+-e} ${4:+"$4"} python3 -c "$(cat call.py)" 2>&1)
	if [ "$got" = "$wanted" ]; then
		ok "$name"
	else
		not_ok "$name" "got: $got" "not: $wanted"
	fi
}

# ---- programs that make cells, trace, or become somebody else ------------------------------------

if command -v bwrap >/dev/null && bwrap --ro-bind / / true 2>/dev/null; then
	inside bwrap --ro-bind / / true >out 2>err
	check "an inner bwrap does not start" test $? -ne 0
else
	skip "an inner bwrap does not start" "bwrap does not work outside"
fi
if command -v unshare >/dev/null && unshare -Ur true 2>/dev/null; then
	inside unshare -Ur true >out 2>err
	check "no user namespace" test $? -ne 0
else
	skip "no user namespace" "unshare -Ur does not work outside"
fi
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	inside strace true >out 2>err
	check "strace does not trace" test $? -ne 0
else
	skip "strace does not trace" "strace does not work outside"
fi
python "no process is traced, as by gdb" EPERM 'print(call(NR["ptrace"], 0, 0, 0, 0))'
python "nothing is mounted" EPERM 'print(call(NR["mount"], b"none", b"/tmp", b"tmpfs", 0, 0))'
check "a setuid bit gives nobody's rights: sudo, su and mount" \
	inside sh -c 'grep -q "^NoNewPrivs:	1" /proc/self/status'
python "no setuid bit is set" "EPERM" \
	'open("s", "w").close(); print(attempt(os.chmod, "s", 0o4755))'
python "io_uring is not there; libraries use threads" ENOSYS \
	'print(call(NR["io_uring_setup"], 4, b"\0" * 120))'
python "clone3 is not there; libc uses clone" ENOSYS 'print(call(NR["clone3"], 0, 0))'
python "no TCP without a rule, not to localhost" "EACCES ECONNREFUSED" '
def to(host):
    s = socket.socket(); s.settimeout(5); s.connect((host, 22))
print(attempt(to, "192.0.2.7"), attempt(to, "127.0.0.1"))'
python "what listens without a rule is heard inside" "heard heard" '
def hear(family, any, host):
    s = socket.create_server((any, 0), family=family)
    socket.create_connection((host, s.getsockname()[1]), 5).close(); return "heard"
print(hear(socket.AF_INET, "0.0.0.0", "127.0.0.1"), hear(socket.AF_INET6, "::", "::1"))'
python "raw, ping, packet, MPTCP, SCTP, vsock and AF_ALG sockets are not there" \
	"EPERM EPERM EAFNOSUPPORT EPROTONOSUPPORT EPROTONOSUPPORT EAFNOSUPPORT EAFNOSUPPORT" '
print(*(attempt(socket.socket, *k) for k in
    ((2, 3, 1), (2, 2, 1), (17, 3, 0), (2, 1, 262), (2, 1, 132), (40, 1, 0), (38, 5, 0))))'
python "nothing is sent before there is a connection" EPERM \
	'print(attempt(socket.socket().sendto, b"x", 0x20000000, ("127.0.0.1", 22)))'
python "interfaces are listed by netlink, not by ioctl" "lo EPERM EPERM" '
ask = lambda n: attempt(fcntl.ioctl, socket.socket(), n, struct.pack("256s", b"lo"))
print(*(name for i, name in socket.if_nameindex()), ask(0x8912), ask(0x8915))'
# Outside, a listener whose queue is full until the file `go` is there.
cat >hole.py <<'END'
import os, socket, sys, time
l = socket.create_server(("127.0.0.1", 0), backlog=0)
fill = socket.create_connection(l.getsockname())
with open("hole.new", "w") as f: f.write(str(l.getsockname()[1]))
os.rename("hole.new", "hole")
while not os.path.exists(sys.argv[1]): time.sleep(0.05)
held = []
while True: held.append(l.accept())
END
cat >data/wait.py <<'END'
import os, signal, socket, struct, sys, time
hole = ("127.0.0.1", int(sys.argv[1]))
class Alarm(Exception): pass
def alarm(*a): raise Alarm
signal.signal(signal.SIGALRM, alarm)
def interrupted(s):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try: return s.connect_ex(hole)
    except Alarm: return "the signal"
def pending(pid):
    return "ShdPnd:\t0000000000000000" not in open("/proc/%d/status" % pid).read()
s = socket.socket()
if sys.argv[2] == "alone":
    print(interrupted(s)); sys.exit()
if os.fork() == 0: # holds s too, and ends the wait when it has been looked for signals
    while sys.argv[2] == "signal" and not pending(os.getppid()): time.sleep(0.02)
    for i in range(2): interrupted(socket.socket())
    open("go", "w").close(); os._exit(0)
if sys.argv[2] == "signal":
    print(interrupted(s), "then", s.getpeername() == hole)
else:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 20000))
    print(s.connect_ex(hole), "then", s.getpeername() == hole)
END
connect_to_hole() { # name wanted how
	rm -f data/go hole
	python3 hole.py data/go >hole.out 2>&1 &
	pids="$pids $!"
	wait_until test -s hole
	inside -e "allow connect 127.0.0.1:$(cat hole)" python3 wait.py "$(cat hole)" "$3" >out 2>err
	check "$1" grep -qx "$2" out
}
connect_to_hole "a signal that is handled ends connect's wait" "the signal" alone
connect_to_hole "but of a socket that another process holds too" "the signal then True" signal
connect_to_hole "whose SO_SNDTIMEO does not end it either" "0 then True" patience
python "a call that a signal comes to may be EINTR, where SA_RESTART is not said" "EINTR ok" '
import signal
def opens(n):
    for i in range(n):
        fd = libc.open(b"file", os.O_RDONLY)
        if fd < 0: return errno.errorcode[ctypes.get_errno()]
        libc.close(fd)
    return "ok"
signal.signal(signal.SIGALRM, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
first = opens(1000000)
signal.siginterrupt(signal.SIGALRM, False); print(first, opens(2000))'
python "a Unix socket's path is told by the descriptor that it was bound by" "True ok ENOENT" '
s = socket.socket(socket.AF_UNIX); s.bind(os.environ.get("TMPDIR", "/tmp") + "/told"); s.listen(1)
told = s.getsockname()
print(told.startswith("/proc/self/fd/"), attempt(socket.socket(socket.AF_UNIX).connect, told), attempt(os.unlink, told))'
python "a connection that leads out is not dissolved" "EACCES" '
s = socket.socket(); attempt(s.connect, ("127.0.0.1", '"$(cat hole)"'))
print(call(42 if platform.machine() == "x86_64" else 203, s.fileno(), struct.pack("=H14x", 0), 16))' \
	"allow connect 127.0.0.1:$(cat hole)"
python "what is sent where no rule leads is told, not written down" "ENETUNREACH" \
	'print(attempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b"x", ("192.0.2.7", 9)))'

# ---- opening ---------------------------------------------------------------------------------------

python "openat2 with RESOLVE_BENEATH, IN_ROOT or NO_XDEV is ENOSYS" \
	"ENOSYS ENOSYS ENOSYS" \
	'print(*(openat2("file", os.O_RDONLY, r) for r in (8, 0x10, 1)))'
python "with RESOLVE_NO_MAGICLINKS, or none, it opens" "ok ok" \
	'print(*(openat2("file", os.O_RDONLY, r) for r in (2, 0)))'
python "RESOLVE_NO_SYMLINKS is as outside" "ok ok ok ELOOP ELOOP ELOOP ELOOP ELOOP ELOOP ENOENT ok ok" '
os.symlink("sub", "sublink"); os.symlink("nowhere", "dangling"); open("sub/in", "w").close()
print(*(openat2(p, f, 4) for p, f in (("file", os.O_RDONLY), ("sub/../file", os.O_RDONLY),
    (os.getcwd() + "/sub/in", os.O_RDWR), ("link", os.O_RDONLY), ("sublink/in", os.O_RDONLY),
    ("sublink/../file", os.O_RDONLY), ("dangling", os.O_RDONLY), ("/proc/self/fd/0", os.O_RDONLY),
    ("/dev/stdin", os.O_RDONLY), ("sub/none", os.O_RDONLY), ("link", os.O_PATH | os.O_NOFOLLOW),
    ("sub", os.O_RDONLY | os.O_DIRECTORY))))
os.remove("sublink"); os.remove("dangling"); os.remove("sub/in")'
tree='allow write,append ./'
expect_status "/ and what only leads to trees is listed" 0 inside sh -c 'ls / && ls ../..'
expect_text "with names that are there" usr out
expect_text "and with those that lead to trees" "$(basename "$dir")" out
expect_status "what no rule lets be listed is not" 2 inside ls "$dir/data"
expect_status "nor where a rule denies it" 2 "$warder" run -q -p convert ls /
expect_text "by name of that rule" "Permission denied"
expect_status "nor is anything made there" 2 inside sh -c 'echo >/new'
inside --ledger "$dir/listed" ls / >out 2>err
check "which is in the book" grep -q '"event":"grant".*"asked":"/","reached":"/".*"rights":"list","fd":true' listed
tree='allow rwx ./'
python "a FIFO of a data tree is not opened without a rule that says type fifo" EACCES \
	'print(attempt(os.open, "fifo", os.O_RDWR))'
"$warder" run -q -C data -e 'allow rw ./ type fifo' \
	python3 -c 'import os; os.open("fifo", os.O_RDONLY | os.O_NONBLOCK); print("opened")' >out 2>err
expect_text "with one it is" opened out
python "no device node is made, and a FIFO in the cell's own places alone" "EPERM EPERM ok" \
	'print(attempt(os.mknod, "node", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    attempt(os.mkfifo, "new"), attempt(os.mkfifo, os.environ.get("TMPDIR", "/tmp") + "/new"))'
python "a name together with its directory is at most 4095 bytes" "ok ENAMETOOLONG" '
names = []
deep = ("n" * 250 + "/")
for i in range(15): os.mkdir(deep); os.chdir(deep); names.append(os.open(".", os.O_RDONLY))
first = attempt(os.open, "f", os.O_CREAT | os.O_WRONLY)
print(first, attempt(os.open, "/".join(["m" * 200] * 3), os.O_CREAT | os.O_WRONLY))
for i in range(15): os.chdir(".."); os.remove(deep + "f") if i == 0 else None; os.rmdir(deep)'
tree='allow rw ./'
python "/proc/self/fd/N opens again what is open; /proc/PID/fd/N of another does not" "ok EACCES" '
f = open("file")
me = os.getpid(); r, w = os.pipe(); done, end = os.pipe()
first = attempt(os.open, "/proc/self/fd/%d" % f.fileno(), os.O_RDONLY)
pid = os.fork()
if pid == 0:
    print(first, attempt(os.open, "/proc/%d/fd/%d" % (me, f.fileno()), os.O_RDONLY), flush=True); os._exit(0)
os.waitpid(pid, 0)'
tree='allow rwx ./'
echo outside >given
expect_status "a file on standard input is read" 0 inside cat <given
expect_text "as it is" outside out
expect_status "opened again by /dev/stdin, outside of all rules, it is the same descriptor" 0 \
	inside python3 -c 'import os, sys
os.read(0, 3)
f = os.open("/dev/stdin", os.O_RDONLY)
print(os.read(f, 3), os.lseek(0, 0, os.SEEK_CUR))' <given
expect_text "with its place in the file" "b'sid' 6" out
expect_status "which is for reading what it was" 2 inside sh -c 'echo x >/dev/stdin' <given
expect_status "and for writing" 1 inside cat /dev/stdin 0>>given
inside sh -c 'echo more >/dev/stderr' >out 2>>given
check "where that may write, it may, behind what there is" \
	test $? -eq 0 -a "$(tr '\n' ' ' <given)" = "outside more "
expect_status "a rule gives a new one" 0 inside cat /dev/stdin <data/file
python "no Unix datagram socket" "EPERM EPERM" '
print(attempt(socket.socket, socket.AF_UNIX, socket.SOCK_DGRAM),
    attempt(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM))'
python "fchmod, fchown and the like of a pipe or a socket are EPERM" EPERM \
	'r, w = os.pipe(); print(attempt(os.fchmod, w, 0o600))'

if below=$(mktemp -d /tmp/e2e.XXXXXX 2>/dev/null); then
	chmod 755 "$below" && [ "$(id -u)" != 0 ] || chown 65534:65534 "$below"
	"$warder" run -q -C "$below" -e 'allow rwx ./' python3 -c 'import os, tempfile
tempfile.TemporaryFile().close(); print(tempfile.gettempdir() != "/tmp")
try: open("/tmp/new", "w")
except FileNotFoundError: print("not there")' >out 2>err
	check "with a tree below /tmp it is TMPDIR that is private" test "$(tr '\n' ' ' <out)" = "True not there "
	rm -rf "$below"
else
	skip "with a tree below /tmp it is TMPDIR that is private" "nothing can be made in /tmp"
fi

# ---- changing ----------------------------------------------------------------------------------------

mkdir log && { [ "$(id -u)" != 0 ] || chown 65534:65534 log; }
python "no hole and no zeros where a rule gives append alone" "True True" '
f = open("hole", "w"); f.write("x" * 9000); f.flush()
nr = {"x86_64": 285, "aarch64": 47}[platform.machine()]
print(*(call(nr, f.fileno(), mode, ctypes.c_long(0), ctypes.c_long(4096)) == errno.errorcode[errno.EOPNOTSUPP]
    for mode in (3, 0x11)))' \
	"allow append $dir/log/"
python "an owner is not given away" EPERM 'open("o", "w").close(); print(attempt(os.chown, "o", 1, 1))'
python "what has no name gets none: not by its descriptor, and not through a symlink" "ENOENT ENOENT EPERM ok" '
fd = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o600); os.symlink("file", "tofile"); d = os.open(".", os.O_RDONLY)
link = {"x86_64": 265, "aarch64": 37}[platform.machine()]
print(attempt(os.link, "/proc/self/fd/%d" % fd, "named", src_dir_fd=d, follow_symlinks=True),
    call(link, fd, b"", -100, b"named", 0x1000), call(link, -100, b"tofile", -100, b"named", 0x400),
    attempt(os.link, "tofile", "named", follow_symlinks=False))
os.unlink("named"); os.unlink("tofile")'
python "attributes are user.* alone" "EPERM" \
	'open("x", "w").close(); print(attempt(os.setxattr, "x", "trusted.a", b"1"))'
python "locks hold between processes of the cell" "ok EAGAIN ok EAGAIN" '
f = open("lock", "w"); g = open("lock2", "w")
out = [attempt(fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)]
r, w = os.pipe()
def other(lock, name):
    if os.fork() == 0:
        h = open(name, "w"); os.write(w, attempt(lock, h, fcntl.LOCK_EX | fcntl.LOCK_NB).encode()); os._exit(0)
    os.wait(); return os.read(r, 20).decode()
out.append(other(fcntl.flock, "lock"))
out.append(attempt(fcntl.lockf, g, fcntl.LOCK_EX | fcntl.LOCK_NB))
out.append(other(fcntl.lockf, "lock2"))
print(*out)'
(
	flock -x 9
	[ "$(id -u)" != 0 ] || chown 65534 data/held
	inside python3 -c 'import fcntl
try: fcntl.flock(open("held", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB); print("taken")
except BlockingIOError: print("held outside")' >out 2>err
) 9>>data/held
expect_text "a lock held outside holds inside" "held outside" out
python "a lease cannot be taken" EPERM 'print(attempt(fcntl.fcntl, open("file"), fcntl.F_SETLEASE, fcntl.F_RDLCK))'
python "chmod and touch in /tmp" "ok ok 0o640" '
p = os.environ.get("TMPDIR", "/tmp") + "/own"
open(p, "w").close()
print(attempt(os.chmod, p, 0o640), attempt(os.utime, p, (1, 1)), oct(os.stat(p).st_mode & 0o777))'
python "the way up from a directory that was removed, and the directory" "ENOENT ENOENT" '
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
print(attempt(open, "../file"), attempt(os.listdir, "."))'
python "a file that has no name any more is not opened by its descriptor, but in the private /tmp" "ENOENT ok" '
import tempfile
files = [tempfile.TemporaryFile(dir=d) for d in (".", None)]
print(*(attempt(open, "/proc/self/fd/%d" % f.fileno()) for f in files))'
python "what is created with no descriptor left is there" "EMFILE True" '
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
print(attempt(os.open, "left", os.O_WRONLY | os.O_CREAT), os.access("left", os.F_OK)); os.unlink("left")'
cp /bin/true data/true && chmod 755 data/true
expect_status "what rwx made is run" 0 inside ./true
expect_status "without exec a file of a data tree is not" 126 \
	"$warder" run -q -C data -e 'allow rw ./' ./true

if command -v git >/dev/null; then
	expect_status "git init works" 0 inside git init -q plain
	inside -e 'use agent' git init -q new >out 2>err
	check "and under the preset agent it does not" test $? -ne 0 -a ! -e data/new/.git
else
	skip "git init under the preset agent" "no git on this host"
fi

finish
