# SPDX-License-Identifier: MIT
# cell.py - a worker in a cell that does what it is told, and TAP of what came of it.
#
# What the worker evaluates comes by its standard input, a line an expression; the answer is its
# repr(), or the name of the error.
import errno, json, os, socket, subprocess, sys

WORKER = """
import errno, os, select, socket, struct, sys
def new(family=socket.AF_INET, type=socket.SOCK_DGRAM):
    s = socket.socket(family, type); s.settimeout(20); return s
def bound(address, family=socket.AF_INET, type=socket.SOCK_DGRAM):
    s = new(family, type); s.bind(address); return s
def heard(s, size=70000):
    data, who = s.recvfrom(size); return (len(data), who[:2])
def forks():
    kids = []
    try:
        while len(kids) < 50:
            kids.append(os.fork())
            if kids[-1] == 0: select.select([], [], [])
    except OSError: pass
    for p in kids: os.kill(p, 9); os.waitpid(p, 0)
    return len(kids)
for line in sys.stdin:
    try: r = eval(line)
    except TimeoutError: r = "timeout"
    except OSError as e: r = errno.errorcode[e.errno]
    print(repr(r), flush=True)
"""
n = bad = 0


def is_(name, seen, wanted):
    global n, bad
    n += 1
    good = seen == wanted
    bad += not good
    print("ok %d - %s" % (n, name) if good else
          "not ok %d - %s\n# %r, not %r" % (n, name, seen, wanted), flush=True)


def finish():
    print("1..%d" % n)
    sys.exit(bad > 0)


class Cell:
    count = 0

    def __init__(self, *rules):
        Cell.count += 1
        self.ledger = os.path.abspath("ledger.%d" % Cell.count)
        self.policy = policy = "policy.%d" % Cell.count
        with open(policy, "w") as f:
            f.write("\n".join(rules) + "\n")
        self.worker = subprocess.Popen(
            [os.environ["warder"], "run", "-q", "-p", policy, "--ledger", self.ledger, "--time", "120s",
             "--", sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        self.worker.stdin.write(line + "\n")
        self.worker.stdin.flush()

    def told(self):
        line = self.worker.stdout.readline()
        return eval(line) if line and "<" not in line else line

    def __call__(self, line):
        self.tell(line)
        return self.told()

    def end(self):
        self.worker.stdin.close()
        self.worker.stdout.read()
        return self.worker.wait()

    # The records that have all of these, of a cell that has ended.
    def records(self, **fields):
        with open(self.ledger) as f:
            all_ = [json.loads(line) for line in f]
        return sum(all(r.get(k) == v for k, v in fields.items()) for r in all_)


def udp(address=None, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(20)
    if address:
        s.bind(address)
    return s


def error(f, *args):
    try:
        f(*args)
        return None
    except TimeoutError:
        return "timeout"
    except OSError as e:
        return errno.errorcode[e.errno]


# Natively a closed port is told by ICMP, to who has sent; so until it is.
def until_refused(s):
    s.settimeout(0.1)
    for _ in range(200):
        why = error(s.send, b"x") or error(s.recv, 9)
        if why == "ECONNREFUSED":
            return why
    return why


def names():
    with open("/proc/net/unix") as f:
        return [line.split()[-1] for line in f]
