#!/bin/sh
# SPDX-License-Identifier: MIT
# library.sh - libwarder as other programs meet it: its header, its names, its examples.
. "$(dirname "$0")/lib.sh"

CC=${CC:-cc}
CXX=${CXX:-c++}
# What links a library with sanitizers must have them itself.
if nm -D "$BUILD/libwarder.so.0" | grep -q __asan_init; then
	printf '#!/bin/sh\nexec %s -fsanitize=address,undefined "$@"\n' "$CC" >cc
	printf '#!/bin/sh\nexec %s -fsanitize=address,undefined "$@"\n' "$CXX" >cxx
	chmod +x cc cxx
	CC=$dir/cc CXX=$dir/cxx
fi
mkdir include
cp "$TOP/sandbox/warder.h" include/
libs="$BUILD/libwarder.a $(pkg-config --libs libseccomp)"

printf '#include <warder.h>\nint main(void)\n{\n\treturn warder_attach() ? 1 : 0;\n}\n' >use.c
cp use.c use.cpp
for standard in c11 c17; do
	check "the header is clean $standard, alone" "$CC" -std=$standard -D_POSIX_C_SOURCE=200809L -pedantic \
		-Wall -Wextra -Werror -Wundef -Wstrict-prototypes -Iinclude -c -o /dev/null use.c
done
if command -v "$CXX" >/dev/null 2>&1; then
	for standard in c++11 c++17; do
		check "and $standard" "$CXX" -std=$standard -pedantic -Wall -Wextra -Werror -Iinclude -c \
			-o use.o use.cpp
	done
	# The names are those of C.
	check "a program in C++ links" "$CXX" -o use use.o $libs
	check "and runs" env -u WARDER_FD ./use
else
	skip "C++" "no C++ compiler ($CXX) is installed"
fi
check "a program links the shared library" "$CC" -Iinclude -o shared use.c "$BUILD/libwarder.so.0"
check "and runs" env -u WARDER_FD LD_LIBRARY_PATH="$BUILD" ./shared

globals() {
	nm "$@" | awk 'NF == 3 && $2 ~ /[A-Z]/ { print $3 }' | sed 's/@.*//' | grep -vE '^(warder_|WARDER_0$)'
}
check "the static library has no global name but warder_*" sh -c '[ -z "$1" ]' sh \
	"$(globals "$BUILD/libwarder.a" | grep -v '^_')"
check "nor has the shared one" sh -c '[ -z "$1" ]' sh "$(globals -D --defined-only "$BUILD/libwarder.so.0")"
# What is constant lies in read-only segments; nothing is written to.
check "there is no global state" sh -c '[ -z "$1" ]' sh \
	"$(nm "$BUILD/libwarder.a" | awk '$2 ~ /[bBcC]/ { print $3 }' | grep -vE '^(completed|__)')"
check "every name of the header is there, and the reverse" sh -c '[ "$1" = "$2" ]' sh \
	"$(grep -oE '\bwarder_[a-z_]+\(' "$TOP/sandbox/warder.h" | grep -vE 'warder_(handle|each)' | tr -d '(' | sort -u)" \
	"$(nm -D --defined-only "$BUILD/libwarder.so.0" | awk '{ print $3 }' | sed 's/@.*//' | grep '^warder_' | sort -u)"
for name in $(nm -D --defined-only "$BUILD/libwarder.so.0" | awk '{ print $3 }' | sed 's/@.*//' | grep '^warder_'); do
	grep -qE "^\.(Fn|Fo) $name\b" "$TOP/docs/man/libwarder.3" || not_ok "libwarder(3) has $name" "it has not"
done
ok "libwarder(3) has every function"
check "pkg-config knows it" env PKG_CONFIG_PATH="$BUILD" pkg-config --cflags --libs warder

# ---- the examples ---------------------------------------------------------------------------------

for example in spawn worker fetch greet; do
	check "the example $example.c compiles" "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude -o $example \
		"$TOP/docs/examples/$example.c" $libs
done
PATH=$BUILD:$PATH
expect_status "spawn runs a command and hands its status on" 7 ./spawn sh -c 'exit 7'
expect_text "and tells what was granted" "status 7, 0 granted, 0 denied"
expect_status "or says why it could not" 125 ./spawn no-such-command
expect_text "in a sentence" "no-such-command"
expect_status "worker says no outside of a cell" 1 env -u WARDER_FD ./worker file
expect_status "fetch too" 2 env -u WARDER_FD ./fetch 127.0.0.1:1 /
expect_status "and greet" 2 env -u WARDER_FD ./greet 127.0.0.1:1 1

echo 'a greeting' >greeting
chmod 644 greeting
chmod 755 worker
"$warder" serve -n hello -e "allow read $dir/greeting" -e "runtime $dir/worker" --status-fd 3 -- "$dir/worker" \
	"$dir/greeting" >serve.out 2>&1 3>status &
pids="$pids $!"
if wait_until grep -q '"status":"ok"' status; then
	# It speaks no JSON-RPC; so its frame is told in the error.
	expect_status "worker answers a client" 2 "$warder" call -n hello anything
	expect_text "with its file" "no JSON"
else
	not_ok "worker is served" "$(cat serve.out status)"
fi
finish
