#!/bin/sh
# SPDX-License-Identifier: MIT
# examples.sh - the policies of docs/examples with the commands that stand at their head.
# RUN_ALONE: the examples name their ports.
. "$(dirname "$0")/lib.sh"

# What is outside and must stay out of reach.
mkdir outside && echo secret >outside/secret

# A directory of its own with the policy in it; the example's files are made by the caller.
begin() { # name
	cd "$dir" || exit 2
	mkdir "$1" && cp "$TOP/docs/examples/$1.policy" "$1/" && cd "$1" || exit 2
	example=$1
}

# The example's files belong to the worker, which started by root is uid 65534; not the policy.
own() {
	[ "$(id -u)" != 0 ] || { chown -R 65534:65534 . && chown 0:0 -- *.policy; }
}

# Runs the Nth command of the policy's head, as it stands there.
run() { # [n]
	line=$(sed -n 's/^#	\$ warder //p' "$example.policy" | sed -n "${1:-1}p")
	[ -n "$line" ] || return 2
	eval "\"\$warder\" $line" >"$dir/out" 2>"$dir/err"
}

worked() { # name [n]
	if run "${2:-1}"; then
		ok "$1"
	else
		not_ok "$1" "exit status $?" "$(cat "$dir/err")"
	fi
}

needs() { # program...
	for program in "$@"; do
		command -v "$program" >/dev/null 2>&1 || { missing=$program; return 1; }
	done
}

# ---- every policy is short and right ------------------------------------------------------------

for policy in "$TOP"/docs/examples/*.policy; do
	example=$(basename "$policy" .policy)
	[ "$example" != demo ] || continue
	check "$example.policy has at most five lines" \
		test "$(grep -cE '^[a-z]' "$policy")" -le 5
	check "$example.policy says how it is run" \
		grep -q "^#	\\\$ warder run -p \./$example\.policy -- " "$policy"
	check "$example.policy has a test here" grep -q "^begin $example\$" "$0"
done

# ---- python ---------------------------------------------------------------------------------------

begin python
if needs python3; then
	mkdir -p data/a data/private out
	seq 1 100 >data/a/n.txt && seq 1 11 >data/m.txt && echo 1 >data/private/key
	cat >report.py <<'PY'
import os, pathlib, sys
total = 0
denied = 0
for d, dirs, files in os.walk(sys.argv[1]):
    for f in sorted(files):
        try:
            total += sum(map(int, (pathlib.Path(d) / f).read_text().split()))
        except PermissionError:
            denied += 1
pathlib.Path(sys.argv[2]).write_text(f"{total} {denied}\n")
for path in ("../outside/secret", "data/new", "report.py"):
    try:
        open(path, "a").close()
        print("opened", path)
    except OSError as e:
        print(type(e).__name__, path)
PY
	own
	worked "python: a report over a directory"
	expect_text "python: all was read but what is denied" "5116 0" out/report.txt
	expect_text "python: nothing outside" "FileNotFoundError ../outside/secret" "$dir/out"
	expect_text "python: no new file among the data" "PermissionError data/new" "$dir/out"
	expect_text "python: its own script stays as it is" "PermissionError report.py" "$dir/out"
else
	skip "python" "needs $missing"
fi

# ---- git ------------------------------------------------------------------------------------------

begin git
if needs git; then
	git init -q . && echo one >a && echo '*.policy' >.gitignore && git add . &&
		git -c user.name=x -c user.email=x@localhost commit -q -m first && echo two >a && echo new >b
	own
	before=$(find . -printf '%p %T@ %i\n' | sort | cksum)
	worked "git: status in a repository that is read only"
	expect_text "git: a changed file is seen" " M a" "$dir/out"
	expect_text "git: a new one too" "?? b" "$dir/out"
	worked "git: log" 2
	expect_text "git: tells the commit" "first" "$dir/out"
	check "git: nothing has changed" test "$before" = "$(find . -printf '%p %T@ %i\n' | sort | cksum)"
	"$warder" run -p ./git.policy -- git commit -q -a -m second >"$dir/out" 2>"$dir/err"
	check "git: a commit fails" test $? -ne 0
else
	skip "git" "needs $missing"
fi

# ---- worktree -------------------------------------------------------------------------------------

begin worktree
if needs git; then
	git init -q . && echo one >a && git add a && git config user.name x &&
		git config user.email x@localhost && git commit -q -m first
	own
	worked "worktree: a commit"
	check "worktree: it is there outside" test "$(git -c safe.directory='*' log --format=%s -1)" = third
	for file in .git/hooks/pre-commit .git/config; do
		"$warder" run -p ./worktree.policy -- sh -c "echo evil >>$file" >"$dir/out" 2>"$dir/err"
		check "worktree: $file is not written" sh -c '! grep -qs evil "$1"' sh "$file"
		sh -c "echo evil >>$file"
		check "worktree: which without the cell it is" grep -qs evil "$file"
	done
else
	skip "worktree" "needs $missing"
fi

# ---- make -----------------------------------------------------------------------------------------

begin make
if needs make cc; then
	cat >configure <<'SH'
#!/bin/sh
set -e
echo "checking for a compiler"
cat >conftest.c <<'C'
int main(void) { return 0; }
C
${CC:-cc} -o conftest conftest.c && ./conftest
rm -f conftest conftest.c
sed "s/@CC@/${CC:-cc}/" Makefile.in >Makefile
mkdir -p obj
chmod 755 obj
SH
	cat >Makefile.in <<'MK'
hello: obj/hello.o
	@CC@ -o $@ obj/hello.o
obj/hello.o: hello.c
	@CC@ -O1 -c -o $@ hello.c
MK
	cat >hello.c <<'C'
#include <stdio.h>
int main(void) { FILE *f = fopen("../outside/secret", "r"); printf("hello %d\n", f != NULL); return 0; }
C
	chmod 755 configure
	own
	worked "make: configure, make, and what was made"
	expect_text "make: it runs and sees nothing outside" "hello 0" "$dir/out"
	check "make: the program is there outside too" test -x hello
	check "make: configure left nothing behind" test ! -e conftest
	"$warder" run -p ./make.policy -- sh -c 'echo >configure' >"$dir/out" 2>"$dir/err"
	check "make: a denied file is not changed" test -s configure
else
	skip "make" "needs $missing"
fi

# ---- unpack ---------------------------------------------------------------------------------------

begin unpack
if needs tar unzip python3; then
	mkdir in out
	# Names that lead out: upwards, absolute, and through a symlink that the archive itself makes.
	python3 - "$dir/outside" <<'PY'
import io, sys, tarfile, zipfile
outside = sys.argv[1]
with tarfile.open("in/a.tar", "w") as tar:
    def add(name, **more):
        info = tarfile.TarInfo(name)
        data = more.pop("data", b"evil\n")
        info.mtime, info.mode = 1000000000, 0o640
        for k, v in more.items():
            setattr(info, k, v)
        info.size = len(data) if info.type == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(data))
    add("good/file", data=b"good\n")
    add("good/link", type=tarfile.SYMTYPE, linkname="file")
    add("good/hard", type=tarfile.LNKTYPE, linkname="good/file")
    add("../outside/up")
    add(outside + "/absolute")
    add("way", type=tarfile.SYMTYPE, linkname=outside)
    add("way/through")
with zipfile.ZipFile("in/a.zip", "w") as z:
    z.writestr("zipped/file", "good\n")
    z.writestr("../../outside/up", "evil\n")
    z.writestr(outside + "/absolute", "evil\n")
    link = zipfile.ZipInfo("zway")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    z.writestr(link, outside)
    z.writestr("zway/through", "evil\n")
PY
	[ "$(id -u)" != 0 ] || chown 65534:65534 "$dir/outside"
	own
	run 1
	check "unpack: tar takes out what is good" test "$(cat out/good/file)" = good
	check "unpack: with its links" test "$(readlink out/good/link)" = file -a out/good/hard -ef out/good/file
	check "unpack: with its times" test "$(stat -c %Y out/good/file)" = 1000000000
	check "unpack: with its modes" test "$(stat -c %a out/good/file)" = 640
	run 2
	check "unpack: unzip too" test "$(cat out/zipped/file)" = good
	# With the tools' own care off, it is the policy alone.
	"$warder" run -p ./unpack.policy -- tar -x -P -f in/a.tar -C out >"$dir/out" 2>"$dir/err"
	"$warder" run -p ./unpack.policy -- unzip -: -q -o in/a.zip -d out >>"$dir/out" 2>>"$dir/err"
	check "unpack: nothing got out" test "$(ls "$dir/outside")" = secret
	tar -x -P -f in/a.tar -C out >"$dir/out" 2>&1
	check "unpack: which without the cell it does" test -e "$dir/outside/absolute" -a \
		-e "$dir/outside/through"
	rm -f "$dir/outside/absolute" "$dir/outside/through" "$dir/unpack/outside/up"
else
	skip "unpack" "needs $missing"
fi

# ---- sqlite ---------------------------------------------------------------------------------------

begin sqlite
if needs python3 && python3 -c 'import sqlite3' 2>/dev/null; then
	mkdir db
	cat >notes.py <<'PY'
import sqlite3, subprocess, sys
path = sys.argv[1]
db = sqlite3.connect(path, timeout=0)
for mode in ("delete", "wal"):
    print(db.execute(f"pragma journal_mode={mode}").fetchone()[0])
    with db:
        db.execute("create table if not exists notes (text)")
        db.executemany("insert into notes values (?)", [("a",), ("b",)] * 500)
print(db.execute("select count(*) from notes").fetchone()[0])
db.execute("pragma journal_mode=delete")
db.isolation_level = None
db.execute("begin exclusive")
other = "import sqlite3,sys; sqlite3.connect(sys.argv[1], timeout=0).execute('insert into notes values (1)')"
r = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True)
print("locked" if "database is locked" in r.stderr else "not locked: " + r.stderr)
db.execute("rollback")
PY
	own
	worked "sqlite: a database with both kinds of journal"
	expect_text "sqlite: the journal is a file beside it" "wal" "$dir/out"
	expect_text "sqlite: what was written is read" "2000" "$dir/out"
	expect_text "sqlite: a lock holds against another process" "locked" "$dir/out"
	expect_no_text "sqlite: and is one" "not locked" "$dir/out"
	check "sqlite: it is whole outside" python3 -c \
		'import sqlite3,sys; sys.exit(sqlite3.connect("db/notes.sqlite").execute("pragma integrity_check").fetchone()[0] != "ok")'
	check "sqlite: no journal is left" test "$(ls db)" = notes.sqlite
else
	skip "sqlite" "needs python3 with its sqlite3"
fi

# ---- venv -----------------------------------------------------------------------------------------

begin venv
python=/usr/bin/python3
if needs $python && $python -m venv --without-pip venv >"$dir/out" 2>&1; then
	for packages in venv/lib/python3*/site-packages; do
		mkdir "$packages/greeting" && echo 'text = "hello from a package"' >"$packages/greeting/__init__.py"
	done
	cat >app.py <<'PY'
import greeting, sys
print(greeting.text)
print(sys.prefix != sys.base_prefix)
PY
	own
	worked "venv: a program with a module of its environment"
	expect_text "venv: the module is there" "hello from a package" "$dir/out"
	expect_text "venv: it is the environment's python" "True" "$dir/out"
else
	skip "venv" "needs $python -m venv --without-pip"
fi

# ---- node -----------------------------------------------------------------------------------------

begin node
if needs node; then
	mkdir -p node_modules/.bin node_modules/bundle src dist
	cat >node_modules/bundle/cli.js <<'JS'
#!/usr/bin/env node
const fs = require("fs"), lib = require("./lib");
fs.writeFileSync(process.argv[3], lib.wrap(fs.readFileSync(process.argv[2], "utf8")));
try { fs.writeFileSync(process.argv[2], "evil"); console.log("changed"); } catch (e) { console.log(e.code); }
JS
	echo 'exports.wrap = (t) => "// bundled " + t;' >node_modules/bundle/lib.js
	echo 'console.log(1)' >src/main.js
	chmod 755 node_modules/bundle/cli.js && ln -s ../bundle/cli.js node_modules/.bin/bundle
	own
	worked "node: a tool of node_modules"
	expect_text "node: its output is there" "// bundled" dist/main.js
	expect_text "node: the source is not changed" "EACCES" "$dir/out"
else
	skip "node" "needs $missing"
fi

# ---- filter ---------------------------------------------------------------------------------------

begin filter
if needs sort file; then
	printf '10\n9\n1\n' >in
	run 1
	check "filter: sort" test "$(tr '\n' ' ' <out)" = "1 9 10 "
	run 2
	expect_text "filter: file" "ASCII text" out
	"$warder" run -p ./filter.policy -- cat in >"$dir/out" 2>"$dir/err"
	check "filter: what is not on standard input cannot be opened" test $? -ne 0
else
	skip "filter" "needs $missing"
fi

# ---- convert --------------------------------------------------------------------------------------

begin convert
if needs /usr/bin/convert; then
	/usr/bin/convert -size 40x30 gradient:red-blue in.jpg
	/usr/bin/convert -size 20x20 xc:green "$dir/outside/picture.png"
	# A picture that takes another one into itself.
	printf 'viewbox 0 0 40 30\nimage over 0,0 20,20 "%s"\n' "$dir/outside/picture.png" >in.mvg
	own
	worked "convert: a picture is made smaller"
	check "convert: it is one" test "$(/usr/bin/convert out.png -format '%m %wx%h' info:)" = "PNG 20x15"
	/usr/bin/convert mvg:- txt:- <in.mvg >"$dir/out" 2>"$dir/err"
	check "convert: without the cell a picture takes in what is beside it" grep -q green "$dir/out"
	"$warder" run -p ./convert.policy -- /usr/bin/convert mvg:- txt:- <in.mvg \
		>"$dir/out" 2>"$dir/err"
	expect_no_text "convert: in the cell it does not" green "$dir/out"
	expect_text "convert: whatever else of it there is" white "$dir/out"
else
	skip "convert" "needs ImageMagick, as $missing"
fi

# ---- fetch and greet ------------------------------------------------------------------------------

mkdir "$dir/include" && cp "$TOP/sandbox/warder.h" "$dir/include/"
build() { # name
	# shellcheck disable=SC2086 # words
	${CC:-cc} $sanitize -D_GNU_SOURCE -I"$dir/include" -o "$1" "$TOP/docs/examples/$1.c" "$BUILD/libwarder.a" \
		$(pkg-config --libs libseccomp) && chmod 755 "$1"
}
# What links a library with sanitizers must have them itself; and no leak check, as in a cell.
sanitize=
if nm -D "$BUILD/libwarder.so.0" | grep -q __asan_init; then
	cp "$TOP/common/sanitize.c" "$dir/"
	sanitize="-fsanitize=address,undefined -DWARDER_SANITIZE $dir/sanitize.c"
fi

begin fetch
if needs cc python3; then
	build fetch
	mkdir pages && echo "a page" >pages/page
	own
	python3 -m http.server --bind 127.0.0.1 --directory pages 8642 >"$dir/server" 2>&1 &
	pids="$pids $!"
	wait_until python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8642))'
	worked "fetch: a page of the one server"
	expect_text "fetch: it is the page" "a page" "$dir/out"
	expect_text "fetch: told where from, and by which rule" \
		"connected to 127.0.0.1:8642, as ./fetch.policy:6 allows" "$dir/err"
	"$warder" run -p ./fetch.policy -- ./fetch 127.0.0.1:8641 / >"$dir/out" 2>"$dir/err"
	check "fetch: no other port" test $? -eq 1
	expect_text "fetch: is said so" "Permission denied" "$dir/err"
else
	skip "fetch" "needs $missing"
fi

begin greet
if needs cc python3; then
	build greet
	own
	run &
	pids="$pids $!"
	check "greet: a client is greeted" wait_until python3 -c \
		'import socket, sys; sys.exit(socket.create_connection(("127.0.0.1", 8643)).recv(6) != b"hello\n")'
	wait $!
	check "greet: and the server ends" test $? -eq 0
	expect_text "greet: by its rule" "listening at 127.0.0.1:8643, as ./greet.policy:6 allows" "$dir/err"
	"$warder" run -p ./greet.policy -- ./greet 127.0.0.1:8644 1 >"$dir/out" 2>"$dir/err"
	check "greet: at no other port" test $? -eq 1
else
	skip "greet" "needs $missing"
fi

# ---- download, database, httpd --------------------------------------------------------------------

# A ledger of the example's own, and what stands in it.
other() { # command...
	rm -f "$dir/ledger"
	"$warder" run -q -p "./$example.policy" --ledger "$dir/ledger" -- "$@" >"$dir/out" 2>"$dir/err" </dev/null
}

recorded() { # name, event, text
	check "$1" sh -c 'grep -F "\"event\":\"$2\"" "$1" | grep -qF -- "$3"' sh "$dir/ledger" "$2" "$3"
}

# In a network of its own, with a name server there.
in_a_network() {
	namespaces='--net --mount'
	[ "$(id -u)" = 0 ] || namespaces="$namespaces --user --map-current-user --keep-caps"
	# shellcheck disable=SC2086 # words
	unshare $namespaces sh "$TOP/tests/e2e/daemons/network.sh" "$@"
}

begin download
PATH=$PATH:/usr/sbin:/sbin
if needs curl dnsmasq python3 unshare ip && unshare --help >"$dir/out" 2>&1; then
	mkdir pages out && echo "a page by name" >pages/page
	cat >network.sh <<'SH'
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --listen-address=127.0.0.1 \
	--bind-interfaces --port=53 --pid-file= --log-facility=- --user= --group= \
	--address=/test.example/192.0.2.1 >dns.log 2>&1 &
dns=$!
python3 -m http.server --bind 192.0.2.1 --directory pages 8646 >server.log 2>&1 &
server=$!
for i in $(seq 100); do
	curl -sS http://www.test.example:8646/page >native 2>&1 && break
	sleep 0.1
done
ledger=$2
rm -f "$ledger"
"$1" run -p ./download.policy --ledger "$ledger" -- \
	curl -sS -o out/page http://www.test.example:8646/page
echo "by name $?"
curl -sS http://other.test.example:8646/page >native.other 2>&1
"$1" run -p ./download.policy --ledger "$ledger" -- curl -sS http://other.test.example:8646/page
echo "another name $?"
curl -sS http://192.0.2.1:8646/page >native.address 2>&1
"$1" run -p ./download.policy --ledger "$ledger" -- curl -sS http://192.0.2.1:8646/page
echo "by address, without its name $?"
kill $dns $server
wait
SH
	own
	in_a_network sh network.sh "$warder" "$dir/ledger" >"$dir/out" 2>"$dir/err" </dev/null
	check "download: curl reaches its host by name" grep -qx "a page by name" out/page
	recorded "download: which stands in the book with the name" grant '"name":"www.test.example"'
	expect_text "download: another name is not found" "another name 6" "$dir/out"
	check "download: though outside it is" grep -qx "a page by name" native.other
	recorded "download: and its look-up is a denial" deny '"name":"other.test.example"'
	expect_text "download: an address that nobody looked up is refused" \
		"by address, without its name 7" "$dir/out"
	check "download: though outside it answers" grep -qx "a page by name" native.address
	recorded "download: and is a denial too" deny '"peer":"192.0.2.1:8646"'
else
	skip "download" "needs $missing"
fi

begin database
# Debian has the server's program in redis-tools, where another name makes it a checker of files.
redis=$(command -v redis-server || command -v redis-check-rdb)
if needs redis-cli bash "${redis:-redis-server}"; then
	mkdir db other
	own
	for at in db other; do
		bash -c 'exec -a redis-server "$@"' bash "$redis" --port 0 --save '' --unixsocketperm 777 \
			--unixsocket "$PWD/$at/redis.sock" --dir "$PWD/$at" >"$dir/redis.$at" 2>&1 </dev/null &
		pids="$pids $!"
		check "database: its server at $at is there" wait_until redis-cli -s "$at/redis.sock" ping
	done
	worked "database: a value is set"
	worked "database: and read" 2
	expect_text "database: it is the one" hello "$dir/out"
	other redis-cli -s "$PWD/other/redis.sock" ping
	check "database: another server's socket is out of reach" test $? -ne 0
	recorded "database: which is a denial" deny "other/redis.sock"
	check "database: though outside it answers" redis-cli -s other/redis.sock ping
else
	skip "database" "needs $missing"
fi

begin httpd
if needs python3 curl; then
	mkdir site && echo "a page served" >site/page
	own
	# Not by run, whose own process would be the one that is ended.
	eval "\"\$warder\" $(sed -n 's/^#	\$ warder //p' httpd.policy) >httpd.out 2>&1 </dev/null &"
	pids="$pids $!"
	check "httpd: it serves at its port" wait_until curl -sS -o page http://127.0.0.1:8645/page
	check "httpd: what stands in its directory" grep -qx "a page served" page
	other python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 8647)); print("inside")
socket.create_connection(("127.0.0.1", 8647), 5).close()
try: socket.create_connection(("127.0.0.1", 8645), 5)
except OSError as e: print(e.strerror)'
	expect_text "httpd: at another port it is heard inside alone" inside "$dir/out"
	expect_text "httpd: it connects to nobody, its own port outside included" \
		"Connection refused" "$dir/out"
	recorded "httpd: which is a denial" deny '"peer":"127.0.0.1:8645"'
else
	skip "httpd" "needs $missing"
fi

cd "$dir" || exit 2
finish
