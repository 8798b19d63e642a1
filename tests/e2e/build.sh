#!/bin/bash
# SPDX-License-Identifier: MIT
# build.sh - what make refuses to build for, each with one sentence, before it compiles anything; and
# flags that distributions give.
. "$(dirname "$0")/lib.sh"

# As from a shell: nothing of the make that runs the tests.
build() { # arguments of make
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u SANITIZE -u CC -u CFLAGS -u LDFLAGS -u PKG_CONFIG \
		make -s -C "$TOP" BUILD="$dir/b" "$@"
}
sentences() {
	[ "$(grep -cE "(^|\*\*\* )warder[: ]" err)" -eq 1 ] && [ ! -e b/obj ]
}

here=$(uname -m) other=aarch64
[ "$here" = aarch64 ] && other=x86_64

# A compiler that says what it builds for, and does not find some libraries.
compiler() { # name, macros, pattern of arguments to fail on
	{
		echo '#!/bin/sh'
		echo 'case "$*" in'
		echo "*-dM*) printf '#define %s 1\\n' $2; exit 0 ;;"
		echo "*-dumpmachine*) echo none-such; exit 0 ;;"
		echo "$3) exit 1 ;;"
		echo 'esac'
		echo 'exec cc "$@"'
	} >"$1"
	chmod 755 "$1"
}

compiler complete "__${here}__ __LP64__" '*never*'
expect_status "a compiler for this machine, with all libraries, is taken" 0 \
	build CC="$dir/complete" "$dir/b/machine"
rm -rf b

compiler i386 "__i386__" '*never*'
expect_status "a 32-bit machine is refused" 2 build CC="$dir/i386"
expect_text "with what to do" "CC=aarch64-linux-gnu-gcc"
check "in one sentence, before anything is compiled" sentences
compiler x32 "__x86_64__ __ILP32__" '*never*'
expect_status "so is one whose pointers have 32 bits" 2 build CC="$dir/x32"
compiler big "__aarch64__ __LP64__ __AARCH64EB__" '*never*'
expect_status "so is one whose bytes stand the other way" 2 build CC="$dir/big"
compiler riscv "__riscv __LP64__" '*never*'
expect_status "so is one without a table" 2 build CC="$dir/riscv"
if [ "$here" = x86_64 ]; then
	for flag in -m32 -mx32; do
		expect_status "cc $flag is refused" 2 build CC="cc $flag"
		expect_text "by name" "\"cc $flag\""
		check "in one sentence, before anything is compiled" sentences
		expect_status "$flag in CFLAGS is refused too" 2 build CFLAGS="$flag"
	done
fi
expect_status "no compiler at all is named" 2 build CC=nonesuch
expect_text "with what to do" "make deps"

compiler poor "__${here}__ __LP64__" '*-lsodium*|*-lmagic*'
expect_status "missing libraries are refused" 2 build CC="$dir/poor"
expect_text "each by its name" "finds no libsodium, libmagic for $here; \`make deps\` installs them"
check "in one sentence, before anything is compiled" sentences
compiler other "__${here}__ __LP64__" '*-E*-x*'
expect_status "so is another C library, or an old one" 2 build CC="$dir/other"
expect_text "by what is needed" "$dir/other has another C library than glibc 2.34"
check "in one sentence, before anything is compiled" sentences
compiler foreign "__${other}__ __LP64__" '*-lseccomp*'
expect_status "libraries for this machine are none for another" 2 build CC="$dir/foreign"
expect_text "each by its name" "finds no libseccomp for $other; install them for that machine"
expect_text "with what to do" "dpkg --add-architecture"
check "in one sentence, before anything is compiled" sentences
compiler foreign "__${other}__ __LP64__" '*never*'
expect_status "with them another machine is taken" 0 build CC="$dir/foreign" "$dir/b/machine"
check "and what was built for this one would be built again" grep -qx "$other" b/machine

# ---- what distributions build with ------------------------------------------------------------------

for flags in "CPPFLAGS=-D_FORTIFY_SOURCE=3" "CFLAGS=-O2 -D_FORTIFY_SOURCE=3" "CC=cc -D_FORTIFY_SOURCE=1" "CFLAGS="; do
	rm -rf b
	expect_status "make $flags builds" 0 build "$flags" "$dir/b/obj/common/fd.o"
	check "without a warning" sh -c '! grep . err'
done

# Linked when all is: the archive is code all the same, and its names are its own.
printf '#include "warder.h"\nint dec_u8; int main(void) { return warder_lockdown(); }\n' >own.c
for cc in cc clang; do
	if ! command -v $cc >/dev/null; then
		skip "$cc -flto" "$cc is missing"
		continue
	fi
	rm -rf b
	expect_status "libwarder.a can be made with $cc -flto" 0 \
		build -j2 CC=$cc CFLAGS="-O1 -flto" LDFLAGS=-flto "$dir/b/libwarder.a"
	check "its global names are warder's" sh -c '
		nm -g --defined-only b/libwarder.a >names && grep -q warder_open names && ! grep " [A-Z] " names | grep -v warder_'
	made=$(stat -c %Y.%i b/libwarder.a)
	expect_status "a make without the flags is content with it" 0 build CC=$cc "$dir/b/libwarder.a"
	check "and makes it from nothing else" test "$(stat -c %Y.%i b/libwarder.a)" = "$made"
	check "and any compiler links it" sh -c '
		cc -I"$1/sandbox" -o own own.c b/libwarder.a $(pkg-config --libs libseccomp)' sh "$TOP"
done

finish
