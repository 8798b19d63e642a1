#!/bin/sh
# SPDX-License-Identifier: MIT
# own_places.sh - what a program makes in its private /tmp and home is its own to change.
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { echo "1..0 # SKIP $python is missing; install python3"; exit 0; }

mkdir data && echo text >data/file
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data

# A socket and a FIFO in the working directory, and each call that changes what an inode holds.
cat >change.py <<'PY'
import errno, os, socket, stat
socket.socket(socket.AF_UNIX).bind("sock")
def attempt(what, f, *args, **more):
    try:
        f(*args, **more)
        print(what, "ok")
    except OSError as e:
        print(what, errno.errorcode[e.errno])
attempt("mkfifo", os.mkfifo, "fifo")
for name in sorted(n for n in os.listdir() if n in ("sock", "fifo")):
    attempt(name + " chmod", os.chmod, name, 0o600)
    attempt(name + " utime", os.utime, name, (1, 2))
    attempt(name + " chown", os.chown, name, os.getuid(), os.getgid())
    attempt(name + " user.x", os.setxattr, name, "user.x", b"1")
    print(name, oct(stat.S_IMODE(os.stat(name).st_mode)), os.stat(name).st_mtime)
    os.unlink(name)
PY
mkdir native && (cd native && "$python" ../change.py) >native.out 2>&1
expect_text "natively all but an attribute is the maker's to change" "sock chmod ok" native.out
expect_text "natively all but an attribute is the maker's to change" "sock user.x EPERM" native.out
for place in "\$TMPDIR" "\$HOME" /dev/shm; do
	expect_status "a socket and a FIFO of the worker's own are changed in $place" 0 \
		"$warder" run -v -e "allow read $dir/" -- \
		sh -c "cd $place && exec $python $dir/change.py"
	check "as natively" diff native.out out
	expect_text "without a denial" ", 0 denied"
done

# In a tree of the policy's a socket is a door to whoever listens there.
expect_status "in a data tree a socket is not" 0 "$warder" run -v \
	-e "allow rw $dir/data/" -e "allow bind $dir/data/**" -e "allow read $dir/change.py" \
	-C "$dir/data" -- "$python" "$dir/change.py"
expect_text "it is refused" "sock chmod EACCES" out
expect_text "with the reason" "a socket is never granted by its path"
expect_no_text "and no line that would not lift it" "to allow it"

finish
