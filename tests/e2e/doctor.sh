#!/bin/sh
# SPDX-License-Identifier: MIT
# doctor.sh - what `warder doctor` says of this host is what a cell meets here.
. "$(dirname "$0")/lib.sh"

# A cell that starts without an option needs none.
if "$warder" run -q -- true 2>err; then
	timeout 60 "$warder" doctor >out 2>err </dev/null
	status=$?
	if [ $status -eq 0 ] && [ "$(head -n 1 out)" = "--root view" ]; then
		ok "a host that starts cells is told so, and no option"
	else
		not_ok "a host that starts cells is told so, and no option" "exit status $status" \
			"$(cat out err)"
	fi
	timeout 60 "$warder" doctor --json >json 2>err </dev/null
	for layer in userns mounts pid net ipc no_new_privs landlock scope seccomp; do
		expect_text "a row for $layer" "$layer " out
		expect_text "a line of JSON for $layer" "{\"layer\":\"$layer\",\"result\":\"ok\"" json
	done
	check "each line is JSON" python3 -c '
import json, sys
for line in open("json"):
    json.loads(line)'
else
	skip "a host that starts cells" "no cell starts here: $(cat err)"
fi
# user_namespaces(7): nobody makes one in a chroot(2).  In mounts that are gone with the command.
if [ "$(id -u)" = 0 ]; then
	mkdir root
	expect_status "in a chroot no cell starts" 125 unshare -m sh -c \
		'mount --rbind / root && mount --make-rslave root && exec chroot root "$@"' sh \
		"$warder" run -q -- true
	expect_text "says what it may be" "or this is a chroot; or use \`root host\`"
fi
expect_status "--help" 0 "$warder" doctor --help
expect_status "an option that there is not" 2 "$warder" doctor --jsno
expect_text "gets the nearest" "--json"
finish
