#!/bin/sh
# SPDX-License-Identifier: MIT
# protocol.sh - every row of the message table has its paragraph in docs/protocol.md, its handler and
# its stub, under its number and with its count.
#
# RUN_ONCE: it reads the tree alone.
set -u
cd "$TOP" || exit 2
bad=0 op=0

check() { # what, command...
	what=$1
	shift
	if "$@"; then
		echo "ok $what"
	else
		echo "not ok $what"
		bad=1
	fi
}

rows=$(sed -nE 's/^\tX\(([a-z]+), [A-Z]+, .*, (1|MSG_COUNT_MAX), PHASE_[A-Z]+\).*/\1 \2/p' common/msg.h)
check "the table is read" [ "$(echo "$rows" | wc -l)" -ge 16 ]
while read -r name most; do
	[ "$most" = MSG_COUNT_MAX ] && most=64
	check "$name has a paragraph" grep -qE "^\*\*$op $name\*\* \($most( records?)?\)\." docs/protocol.md
	check "$name has a handler" grep -qE "^int handle_$name\(" broker/ops.c broker/ops_change.c broker/ops_inode.c broker/ops_socket.c
	[ "$name" = hello ] || check "$name has a stub" grep -qE "\bwarder_$name\(" sandbox/warder.h
	op=$((op + 1))
done <<ROWS
$rows
ROWS
exit $bad
