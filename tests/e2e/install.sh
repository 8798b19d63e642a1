#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh - make install into a DESTDIR, and make uninstall, which leaves nothing.  RUN_ONCE
. "$(dirname "$0")/lib.sh"

dest=$dir/dest
build() {
	make -s -C "$TOP" BUILD="$BUILD" DESTDIR="$dest" "$@"
}

# The build directory belongs to who built it; another user can install from it only what is up to
# date, and cannot even look at the lock of that.
if ! [ -w "$BUILD" ]; then
	skip "install" "$BUILD cannot be written by this user"
	finish
fi

check "make install works with a DESTDIR" build install
for file in bin/warder libexec/warder/warder-dialer libexec/warder/warder-files \
	libexec/warder/warder-json lib/libwarder.so.0 lib/libwarder.so lib/libwarder.a lib/pkgconfig/warder.pc \
	include/warder.h share/man/man1/warder.1 share/man/man1/warder-run.1 \
	share/man/man1/warder-serve.1 share/doc/warder/limits.md share/doc/warder/performance.md \
	share/doc/warder/trust.md share/doc/warder/protocol.md share/doc/warder/examples/worker.c; do
	check "it puts $file there" test -e "$dest/usr/local/$file"
done
check "and presets" sh -c 'ls "$1"/usr/local/share/warder/*.policy' sh "$dest"
check "and nothing outside PREFIX" sh -c '[ "$(ls "$1")" = usr ] && [ "$(ls "$1/usr")" = local ]' \
	sh "$dest"
check "libwarder.so leads to the library" test "$(readlink "$dest/usr/local/lib/libwarder.so")" = libwarder.so.0
check "programs can be executed by all, and written by the owner alone" sh -c \
	'[ "$(stat -c %a "$1/usr/local/bin/warder")" = 755 ]' sh "$dest"
check "the staged warder runs" "$dest/usr/local/bin/warder" --version
check "no program holds a run path" sh -c \
	'! readelf -d "$1/usr/local/bin/warder" "$1/usr/local/lib/libwarder.so.0" | grep -E "RPATH|RUNPATH"' \
	sh "$dest"
check "nor a path of the build" sh -c '! grep -qF "$2" "$1/usr/local/bin/warder"' sh "$dest" "$TOP"
check "make uninstall works" build uninstall
check "and leaves no file" sh -c '! find "$1" ! -type d | grep .' sh "$dest"
check "and no directory of warder's" sh -c '! find "$1" -name warder | grep .' sh "$dest"

check "LIBDIR and LIBEXECDIR are honoured" sh -c \
	'make -n -C "$1" BUILD="$2" DESTDIR=/d PREFIX=/usr LIBDIR=/usr/lib64 LIBEXECDIR=/usr/le install |
		grep -E "/d/usr/lib64/libwarder.a|/d/usr/le/warder" | wc -l | grep -qx "[2-9]"' \
	sh "$TOP" "$BUILD"

# ---- a PREFIX that is no system's ---------------------------------------------------------------

check "make install works with a PREFIX in a home" env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS \
	make -s -j2 -C "$TOP" BUILD="$dir/b" PREFIX="$dir/home/warder" install
check "the pages name its paths, and no others" sh -c '
	grep -q "$1/home/warder/libexec/warder/warder-dialer" "$1"/home/warder/share/man/man1/warder-run.1 &&
	grep -q "$1/home/warder/share/doc/warder/limits.md" "$1"/home/warder/share/man/man1/warder-run.1 &&
	! grep -rn /usr/local "$1"/home/warder/share/man' sh "$dir"
check "what the pages name of the documentation is there" sh -c '
	grep -rhoE "$1/home/warder/share/doc/[A-Za-z0-9_./-]*[A-Za-z0-9]" "$1"/home/warder/share/man | sort -u >named
	test "$(wc -l <named)" -ge 5 && while read -r file; do ls -d "$file" || exit 1; done <named' sh "$dir"
# The objects are there: only what is linked is made again.
rm -f b/warder b/warder-dialer
check "make STATIC=no works" env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS \
	make -s -j2 -C "$TOP" BUILD="$dir/b" PREFIX="$dir/home/warder" STATIC=no
check "and links libsodium and libcap as shared libraries" sh -c '
	readelf -d b/warder | grep -q "NEEDED.*libsodium" && readelf -d b/warder-dialer | grep -q "NEEDED.*libcap"'
expect_status "which run" 0 b/warder run -q -e "allow connect 127.0.0.1:1" -- true
rm -rf b
"$dir/home/warder/bin/warder" serve -n home --allow "read $TOP/" --status-fd 3 >serve.out 2>&1 3>status &
server=$!
pids="$pids $server"
wait_until grep -q '"event":"start"' status
check "the built-in worker runs from there" grep -q '"status":"ok"' status
expect_status "and serves" 0 "$dir/home/warder/bin/warder" call -n home stat "{\"path\":\"$TOP/Makefile\"}"
kill "$server"
expect_status "and its dialer starts" 0 "$dir/home/warder/bin/warder" run -q -e "allow connect 127.0.0.1:1" -- true

# ---- make deps ----------------------------------------------------------------------------------

# With a pkg-config that knows nothing everything seems to be missing; fakeroot is not root.
FAKEROOTKEY=1 PKG_CONFIG=false "$TOP/mk/deps" >out 2>err
check "make deps stops where something is missing and it may not install" test $? -ne 0
for tool in "apt-get install" "dnf install" "pacman -S"; do
	expect_text "and prints the command of $tool" "    $tool "
done
check "install installs no package" sh -c '! grep -nE "apt-get|dnf |pacman" "$1/mk/install.mk" "$1/Makefile"' \
	sh "$TOP"

finish
