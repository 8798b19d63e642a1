#!/bin/sh
# SPDX-License-Identifier: MIT
# tools.sh - everyday programs in a cell say and leave what they do outside.
#
# One script of them runs twice, by the worker's user: in a plain directory and in a cell that may do
# all in its own.  What it printed and what it left must be the same.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs the tests; a cell passes none

for program in bash git python3 cc make tar unzip; do
	command -v $program >/dev/null 2>&1 || { skip "tools" "needs $program"; finish; }
done

cat >tools.bash <<'EOF'
exec 2>&1
export GIT_AUTHOR_DATE=1000000000+0000 GIT_COMMITTER_DATE=1000000000+0000 GIT_CONFIG_GLOBAL=/dev/null
umask 022
echo "== git"
git init -q -b main r && cd r && git config user.name x && git config user.email x@localhost
seq 1 1000 >a && git add a && git commit -q -m 1 && git checkout -q -b b && echo x >>a &&
	git commit -q -am 2 && git checkout -q main && git merge -q b && git gc -q && git fsck
git worktree add -q ../wt b; git status --short; git rm -q a; git reset -q --hard; git log --oneline
cd .. && git clone -q r r2 && git -C r2 log --oneline
echo "== files"
mkdir -p d/e && echo hi >d/e/f && chmod 750 d/e && ln -s f d/e/s && ln d/e/f d/e/h
cp -a d d2 && sed -i s/hi/ho/ d2/e/f && diff -r d d2; mv d2 d3 && rm -rf d3/e && ls -A d3
touch -d 2001-01-01 t1 && stat -c '%Y %a' t1; truncate -s 5 t1; stat -c %s t1
dd if=d/e/f of=t2 status=none && cmp t2 d/e/f; install -m 700 t2 t3; chmod -R u+w,go-rwx d
find . -path ./r -prune -o -name 't?' -print | sort; find . -name t3 -delete; ls t3
chown "$(id -u):$(id -g)" t2; chown 1:1 t2; mkdir d; rmdir d; rm d; cat none; ln t2 d; mv d t2
flock t1 true; mktemp -p . >/dev/null && rm tmp.*; (umask 077; mkdir um; >um/f); stat -c %a um um/f
cd d/e && rm -r ../../um && cat ../e/f && cd ../..
cp -al d dl; ln -P d/e/s sl; stat -c '%h %F' d/e/s dl/e/f; rm -r dl sl; mkdir -m 1777 st; stat -c %a st; chmod 755 st
truncate -s 3M sp; cp --sparse=always sp sp2; cp --reflink=auto sp sp3; stat -c '%s' sp2 sp3; rm sp*
echo "== archives"
tar -c -z -f d.tgz d && tar -t -f d.tgz && mkdir x && tar -x -C x -f d.tgz && diff -r d x/d
python3 -m zipfile -c d.zip d && unzip -q -o d.zip -d y && diff d/e/f y/d/e/f
gzip -k t2 && gunzip -f t2.gz && cat t2
echo "== shell"
cat <(echo one) <<<two; exec 5<>t2; read -u 5 l; echo "$l"; cat <<X
here
X
cat /dev/fd/7 7< <(echo five); cat /dev/stdin <t2; cat /proc/self/fd/0 <t2; set -o noclobber; echo >t2
set +o noclobber; echo y >|t2; sort -T . t2; [ -w t2 ] && echo writable; [ -w /etc/passwd ] || echo not
cd /proc/self && cat comm && cd - >/dev/null; cd d && pwd -P | grep -c '/d$'; cd ..; ls /proc/self/fd/9
echo "== build"
echo '#include <stdio.h>' >h.c; echo 'int main(void) { puts("hi"); return 0; }' >>h.c
cc -g -O1 -o h h.c && ./h && strip h && ./h && cc -c h.c && ar rc l.a h.o && rm h.o && ./l.a
printf 'all: m1 m2 m3\nm1 m2 m3: h.c\n\techo $@ >$@\n' >Makefile; make -s -j3 && cat m1 m2 m3 && make
echo 'exit 3' >noshebang && chmod 755 noshebang && ./noshebang; echo $?; chmod 644 noshebang; ./noshebang; echo $?
echo "== python"
python3 - <<'PY'
import concurrent.futures, mmap, multiprocessing, os, pathlib, shutil, sqlite3, subprocess, tempfile
with tempfile.TemporaryDirectory(dir=".") as t:
    pathlib.Path(t, "x").write_text("a"); shutil.copytree(t, "copy"); shutil.rmtree("copy")
for where in (".", None):
    with tempfile.TemporaryFile(dir=where) as f, tempfile.NamedTemporaryFile(dir=where) as g:
        f.write(b"x"); g.write(b"x"); os.fchmod(g.fileno(), 0o640); os.utime(g.fileno(), (1, 1))
        print(os.stat(g.name).st_mtime, oct(os.stat(g.name).st_mode))
fd = os.open("map", os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 100)
m = mmap.mmap(fd, 100); m[0] = 65; m.flush(); print(open("map").read(1))
d = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
print(os.read(os.open("map", os.O_RDONLY, dir_fd=d), 1)); os.mkdir("k", dir_fd=d); os.rmdir("k", dir_fd=d)
os.link("map", "map2"); os.replace("map2", "map3"); os.symlink("map3", "l"); print(os.readlink("l"))
os.remove("l"); os.setxattr("map", "user.a", b"1"); print(os.getxattr("map", "user.a"), os.listxattr("map"))
q = multiprocessing.Queue(); p = multiprocessing.Process(target=lambda: q.put(open("map").read(1)))
p.start(); print(q.get()); p.join()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(lambda i: len(open("map").read()), range(500))))
print(subprocess.run(["./h"], capture_output=True, preexec_fn=lambda: os.chdir("."), cwd="d/..").stdout)
with sqlite3.connect("db") as db:
    db.execute("pragma journal_mode=wal"); db.execute("create table t (a)"); db.execute("insert into t values (1)")
    print(db.execute("select * from t").fetchall())
for f in (lambda: open("d", "w"), lambda: open("none/x", "w"), lambda: open("h.c/"), lambda: os.mkdir("h.c"),
          lambda: os.rmdir("h.c"), lambda: os.unlink("x"), lambda: os.rename("none", "d"), lambda: os.rmdir("x"),
          lambda: os.open("d", os.O_RDONLY | os.O_NOFOLLOW), lambda: os.open("d/e/s", os.O_NOFOLLOW),
          lambda: os.chdir("h.c"), lambda: open("n" * 300), lambda: open(""), lambda: os.rename("d", "d/e/q")):
    try: print("done" if f() is None else "opened") # no number: a cell has a descriptor of its own
    except OSError as e: print(e.strerror, e.filename[:20])
PY
EOF

mkdir plain cell home
as_worker=
if [ "$(id -u)" = 0 ]; then
	chown 65534:65534 plain cell home
	as_worker='setpriv --reuid 65534 --regid 65534 --clear-groups'
fi
# shellcheck disable=SC2086 # words
(cd plain && HOME=$dir/home TMPDIR=$dir/home $as_worker bash ../tools.bash) >plain.out </dev/null
cp tools.bash cell/
"$warder" run -q -C cell -e 'allow rwx ./' bash ./tools.bash >cell.out 2>&1 </dev/null

# Names of processes' own, and of the script.
same_text() {
	sed -E 's/^\.?[./]*tools\.bash: line/tools.bash: line/; s/0x[0-9a-f]+//' "$1" >"$1.same"
}
same_text plain.out
same_text cell.out
check "every part was reached" test "$(grep -c '^== ' plain.out)" -eq 6
check "they say the same" diff plain.out.same cell.out.same

left() { # directory
	(cd "$1" && find . -name .git -prune -o ! -name tools.bash ! -path . -printf '%p %y %m %n %l %U\n' | sort)
}
left plain >plain.left
left cell >cell.left
check "they leave the same files, modes and owners" diff plain.left cell.left
check "with the same data" diff -r -x .git -x tools.bash -x db -x '*.zip' -x '*.tgz' -x l.a -x h -x wt plain cell

finish
