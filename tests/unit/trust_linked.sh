#!/bin/sh
# SPDX-License-Identifier: MIT
# trust_linked.sh - no parser of strangers' bytes is linked into the broker.
#
# RUN_ONCE: it reads the build alone.
set -u

[ -e "$BUILD/warder" ] || { echo "ok programs_are_built # SKIP $BUILD/warder is not built"; exit 0; }
needed() {
	readelf -d "$1" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p'
}
stray=$(needed "$BUILD/warder" | grep -vE '^(libc|libcap|libsodium|libasan|libubsan|libgcc_s|libm)\.so|^ld-linux')
if [ -z "$stray" ]; then
	echo "ok broker_is_linked_with_what_docs_trust_names"
else
	echo "not ok broker_is_linked_with_what_docs_trust_names - $stray"
	exit 1
fi
[ -e "$BUILD/warder-dialer" ] || { echo "ok the_dialer_is_built # SKIP $BUILD/warder-dialer is not built"; exit 0; }
stray=$(needed "$BUILD/warder-dialer" | grep -vE '^(libc|libcap|libcares|libasan|libubsan|libgcc_s|libm)\.so|^ld-linux')
if [ -z "$stray" ]; then
	echo "ok the_dialer_is_linked_with_c_ares_alone"
else
	echo "not ok the_dialer_is_linked_with_c_ares_alone - $stray"
	exit 1
fi
path=$(readelf -d "$BUILD/warder" "$BUILD/warder-dialer" "$BUILD/warder-files" "$BUILD/warder-json" | grep -E 'RPATH|RUNPATH')
[ -z "$path" ] && echo "ok no_program_has_a_run_path" && exit 0
echo "not ok no_program_has_a_run_path - $path"
exit 1
