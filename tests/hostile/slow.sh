#!/bin/sh
# SPDX-License-Identifier: MIT
# slow.sh - a tree whose server does not answer: children that are killed, callers that are, a book
# that takes no more, and what was promised to whom.
#
# RUN_ONCE: root mounts it.

# In mounts of its own, which are gone with it however it ends.
[ "$(id -u)" != 0 ] || [ -n "${OWN_MOUNTS:-}" ] || OWN_MOUNTS=1 exec unshare -m "$0"

# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

why=
sleepy=$BUILD/tests/fuse/sleepy
[ -x "$sleepy" ] || why="needs libfuse3-dev at build time"
[ "$(id -u)" = 0 ] || why="needs root, to mount"
[ -c /dev/fuse ] || why="needs /dev/fuse, which is not there"
command -v fusermount3 >/dev/null || why="needs fusermount3"
[ -x /usr/bin/python3 ] || why="needs /usr/bin/python3"
cd "$dir" || exit 2
mkdir data behind behind/made mnt small
chmod 777 data behind/made
for at in data/file behind/file behind/slow behind/made/keep; do echo hello >$at; done
chmod 666 behind/made/keep
gate=$dir/data/gate
[ -n "$why" ] || "$sleepy" "$gate" behind mnt -o allow_other,default_permissions 2>mount.err ||
	why="needs a FUSE mount: $(cat mount.err)"
[ -z "$why" ] || { skip "a_server_that_does_not_answer" "$why"; finish; }
trap 'touch "$gate"; fusermount3 -u mnt || fusermount3 -uz mnt; umount small 2>/dev/null; cd /; rm -rf "$dir"' EXIT
mount -t tmpfs -o size=64k none small || exit 2
printf 'allow rw %s/mnt/\nallow rw %s/data/\n' "$dir" "$dir" >policy

# What the worker is told to do, a line an expression; by calls, and by messages (docs/protocol.md).
cat >worker.py <<'END'
import array, errno, os, socket, struct, sys
mnt, data = sys.argv[1] + "/mnt/", sys.argv[1] + "/data/"
door, last = socket.socket(fileno=int(os.environ["WARDER_FD"])), 0
OPS = "hello open stat access readlink list mkdir".split()
def send(op, *paths, flags=0, mode=0):
    global last
    last += 1
    body = b"".join(struct.pack("<IIQqqIIHH", flags, mode, 0, 0, 0, 0, 0, len(p), 0) + p.encode() for p in paths)
    door.send(struct.pack("<IIHH", 12 + len(body), last, OPS.index(op), len(paths)) + body)
    return last
def receive():
    fds = array.array("i")
    got, extra, _, _ = door.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
    for _, _, b in extra: fds.frombytes(b)
    at, said = 12, []
    for _ in range(struct.unpack_from("<H", got, 10)[0]):
        r, n = struct.unpack_from("<iI", got, at); at += 8 + n
        said.append("fd" if r == 1 else "done" if r == 0 else errno.errorcode[-r])
    assert said.count("fd") == len(fds)
    for fd in fds: os.close(fd)
    return said
def ask(op, *paths, **more):
    send(op, *paths, **more)
    return receive()
def call(f, *args):
    try:
        r = f(*args)
        if type(r) is int: os.close(r)
        return "done"
    except OSError as e: return errno.errorcode[e.errno]
def forks(n, path):
    kids = []
    for _ in range(n):
        kids.append(os.fork())
        if kids[-1] == 0: os._exit(call(os.open, path, 0) == "done")
    return kids
def killed(kids):
    for k in kids: os.kill(k, 9)
    return sum(os.waitpid(k, 0)[1] == 9 for k in kids)
ask("hello", "", flags=1)
for line in sys.stdin: print(repr(eval(line)), flush=True)
END
cat >cases.py <<'END'
import json, os, signal, subprocess, sys, threading, time
top = os.getcwd()
bad = 0
def is_(name, seen, wanted):
    global bad
    bad += seen != wanted
    print("ok " + name if seen == wanted else "not ok %s\n# %r, not %r" % (name, seen, wanted), flush=True)
def gate(is_open):
    if is_open: open("data/gate", "w").close()
    elif os.path.exists("data/gate"): os.unlink("data/gate")
class Cell:
    def __init__(self, ledger):
        self.ledger = ledger
        self.p = subprocess.Popen([os.environ["warder"], "run", "-q", "-p", "policy", "--ledger", ledger, "--time", "200s", "-C",
            top + "/data", "--", "/usr/bin/python3", "-c", open("worker.py").read(), top], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self("1"); self.fds = self.descriptors()
    def tell(self, line): self.p.stdin.write(line + "\n"); self.p.stdin.flush()
    def told(self): return eval(self.p.stdout.readline() or "None")
    def __call__(self, line): self.tell(line); return self.told()
    def children(self):
        with open("/proc/%d/task/%d/children" % (self.p.pid, self.p.pid)) as f: return [int(x) for x in f.read().split()]
    def descriptors(self): return len(os.listdir("/proc/%d/fd" % self.p.pid))
    def until(self, n): # the cell's init, the worker, and those who wait
        for _ in range(3000):
            if len(self.children()) == n: return True
            time.sleep(0.01)
        return len(self.children())
    def end(self): self.p.stdin.close(); return self.p.wait()
    def book(self):
        with open(self.ledger) as f: return [json.loads(x) for x in f]
def promised(book, **fields): # and not taken back
    of = {r["of"] for r in book if "of" in r}
    return sum(r["event"] == "grant" and r.get("fd", False) and r["seq"] not in of and all(r.get(k) == v for k, v in fields.items()) for r in book)
def whole(book): return [r["seq"] for r in book] == list(range(1, len(book) + 1))

# ---- children and callers that are killed ---------------------------------------------------------

gate(True)
c = Cell("book.1")
is_("control_it_is_read_while_the_server_answers", c("call(os.open, mnt + 'slow', 0)"), "done")
c.until(2) # a close waits too
gate(False)
c.tell("call(os.open, mnt + 'slow', 0)")
is_("a_call_waits_in_a_child", c.until(3), True)
os.kill(c.children()[-1], signal.SIGKILL)
gate(True)
is_("whose_end_is_an_error_of_the_call", c.told(), "EIO")
is_("and_nothing_else", c("call(os.open, mnt + 'slow', 0)"), "done")
c.until(2)
gate(False)
c("[(kids := forks(64, mnt + 'slow')), 0][1]")
is_("sixty_four_wait", c.until(66), True)
is_("one_more_does_not", c("[call(os.open, mnt + 'file', 0), *ask('open', mnt + 'file')]"), ["EAGAIN", "EAGAIN"])
is_("others_are_served", c("[call(os.open, data + 'file', 0), *ask('open', data + 'file')]"), ["done", "fd"])
is_("callers_are_killed", c("killed(kids)"), 64)
gate(True)
is_("and_leave_no_child", c.until(2), True)
is_("and_no_descriptor", c.descriptors() <= c.fds, True)
is_("nor_a_place_that_is_taken", c("[call(os.open, mnt + 'file', 0), *ask('open', mnt + 'file')]"), ["done", "fd"])
is_("the_worker_ends", c.end(), 0)
book = c.book()
is_("the_killed_child_s_call_stands_in_the_book", sum(r["event"] == "fail" and r.get("error") == "EIO" for r in book), 1)
is_("nobody_who_was_killed_was_given_anything", promised(book, asked=top + "/mnt/slow"), 2)
is_("the_book_has_no_hole", whole(book), True)

# ---- messages: what is promised is what comes -----------------------------------------------------

c = Cell("book.2")
stop = threading.Event()
def toggle():
    while not stop.is_set():
        for is_open in False, True: gate(is_open); stop.wait(0.02)
t = threading.Thread(target=toggle); t.start()
said = []
for i in range(60):
    said += c("[[send('open', *[(mnt + 'slow', data + 'file', mnt + 'none', mnt + 'file')[(i * 7 + j) % 4] for j in range(i % 5 + 1)]) for i in range(N, N + 20)], [x for _ in range(20) for x in receive()]][1]".replace("N", str(i)))
stop.set(); t.join(); gate(True)
is_("of_twelve_hundred_messages_none_is_lost", len(said), 60 * sum(i % 5 + 1 for i in range(20)))
is_("no_child_is_left", c.until(2), True)
is_("nor_a_descriptor", c.descriptors() <= c.fds, True)
is_("the_worker_ends", c.end(), 0)
book = c.book()
is_("each_that_came_was_promised_and_each_promised_came", promised(book, door="ask"), said.count("fd"))
is_("the_book_has_no_hole", whole(book), True)

# ---- a book that takes no more --------------------------------------------------------------------

ROUND = """[ask('open', data + 'file', mnt + 'file'), ask('open', mnt + 'file', data + 'file'), ask('mkdir', mnt + 'made/asked', mode=0o755),
    ask('open', mnt + 'made/new', flags=os.O_CREAT | os.O_RDWR, mode=0o644), call(os.open, mnt + 'file', 0), call(os.mkdir, mnt + 'made/called'),
    call(os.open, mnt + 'made/there', os.O_CREAT | os.O_WRONLY), call(os.open, mnt + 'made/keep', os.O_WRONLY | os.O_TRUNC)]""".replace("\n", " ")
GIVEN = [["fd", "fd"], ["fd", "fd"], ["done"], ["fd"], "done", "done", "done", "done"]
REFUSED = [["EIO", "EIO"], ["EIO", "EIO"], ["EIO"], ["EIO"], "EIO", "EIO", "EIO", "EIO"]
def fresh():
    for at in os.scandir("behind/made"): (os.rmdir if at.is_dir() else os.unlink)(at)
    with open("behind/made/keep", "w") as f: f.write("hello")
    os.chmod("behind/made/keep", 0o666)
fresh()
c = Cell("small/book")
is_("control_while_there_is_room_all_is_given", c(ROUND), GIVEN)
is_("and_made", sorted(os.listdir("behind/made")), ["asked", "called", "keep", "new", "there"])
fresh()
try:
    with open("small/full", "wb", buffering=0) as f:
        while True: f.write(b"x" * 4096)
except OSError: pass
for _ in range(20): # what is left of the last page
    before = os.stat("small/book").st_size
    seen = c(ROUND)
    if os.stat("small/book").st_size == before: break
    fresh()
is_("where_the_book_is_full_nothing_is", seen, REFUSED)
is_("nothing_is_made", os.listdir("behind/made"), ["keep"])
is_("nor_cut", os.stat("behind/made/keep").st_size, 5)
os.unlink("small/full"); fresh()
is_("and_with_room_again_all_is", c(ROUND), GIVEN)
is_("the_worker_ends", c.end(), 0)
is_("the_book_has_no_hole", whole(c.book()), True)
sys.exit(bad > 0)
END
export warder
timeout -k 5 250 /usr/bin/python3 cases.py
bad=$((bad + $?))
finish
