#!/bin/sh
# SPDX-License-Identifier: MIT
# daemons.sh - unmodified clients of real daemons: each reaches its own from a cell by one rule, says
# there what it says outside, and is refused without the rule.
#
# Everything runs in a network of its own, so that ports, abstract names and the name server are this
# test's alone.  The daemons are the caller's processes, in directories of the test; those that refuse
# root, or another user than their own, are the worker's.  The clients are the worker's user, outside
# as in the cell, which is what peer authentication is about.
here=$(cd "$(dirname "$0")" && pwd)
# Whether the clients are tried in cells too, or (CELLS=no) their daemons outside alone.
cells=${CELLS:-yes}

[ -n "${IN_A_NETWORK_OF_ITS_OWN-}" ] || . "$here/daemons/enter.sh"
. "$here/lib.sh"
# Databases and buses ask who their peer is by its name.
id -un >/dev/null 2>&1 || {
	skip "daemons" "this user, uid $(id -u), has no name in the password database"
	finish
}
. "$here/daemons/rows.sh"
. "$here/daemons/databases.sh"
. "$here/daemons/desktop.sh"
. "$here/daemons/services.sh"
. "$here/daemons/web.sh"

begin_table

start_databases
start_desktop
start_services
start_web

rows_of_databases
rows_of_desktop
rows_of_services
rows_of_web

end_table
finish
