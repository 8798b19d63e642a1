#!/bin/sh
# SPDX-License-Identifier: MIT
# state.sh - what a worker finds in its cell: no capability, no stray descriptor, no other process.
# RUN_ALONE: how many descriptors are in flight is counted for a user, not for a process.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

# The words of a row of /proc/PID/status that are not all zero.
inside sh -c 'grep -E "^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp|Groups):" /proc/self/status'
check "no_capability_in_any_set" is \
	"$(grep -cE '^Cap(Inh|Prm|Eff|Amb):[[:space:]]*0+$' "$dir/out")" 4
check "bounding_set_is_empty" is "$(grep -cE '^CapBnd:[[:space:]]*0+$' "$dir/out")" 1
check "no_new_privs_is_set" is "$(grep -cE '^NoNewPrivs:[[:space:]]*1$' "$dir/out")" 1
check "filter_is_loaded" is "$(grep -cE '^Seccomp:[[:space:]]*2$' "$dir/out")" 1

# Every process that the worker can see is filtered, a new one and init (strict mode) included.
inside sh -c 'sleep 5 & for s in /proc/[0-9]*/task/*/status; do grep ^Seccomp: $s; done; kill $!'
check "every_process_of_the_cell_is_filtered" is "$(grep -cE '^Seccomp:[[:space:]]*[12]$' "$dir/out")" \
	"$(grep -c '^Seccomp:' "$dir/out")"
check "it_sees_few_processes" test "$(grep -c '^Seccomp:' "$dir/out")" -le 6

# Descriptors: a stray one stays outside, one that was named comes in.
list='for f in /proc/self/fd/*; do readlink $f; done'
exec 9>"$dir/stray"
inside sh -c "$list"
check "stray_descriptor_stays_outside" is "$(grep -c 'stray' "$dir/out")" 0
options="--fd 9"
inside sh -c 'echo through >&9'
check "named_descriptor_comes_in" is "$(cat "$dir/stray")" through
options=
exec 9>&-
inside sh -c 'ls /proc/self/fd | wc -l'
check "standard_streams_and_a_channel_are_all" test "$(cat "$dir/out")" -le 5

# A directory on standard input would lead out of the cell.
"$warder" run -q --ledger "$ledger" -- sh -c 'ls /proc/self/fd/0/; readlink /proc/self/fd/0' \
	</etc >"$dir/out" 2>&1
check "directory_on_standard_input_becomes_null" is "$(grep -c '^/dev/null' "$dir/out")" 1

# So would one that is a name alone, of a file: opening it again is a new open, of the host's file.
mkdir "$dir/named" && echo named >"$dir/named/f" && chmod 644 "$dir/named/f"
by_name='import os, sys
os.dup2(os.open(sys.argv[1], os.O_PATH), 0); os.execvp(sys.argv[2], sys.argv[2:])'
again='readlink /proc/self/fd/0; cat /proc/self/fd/0'
python3 -c "$by_name" "$dir/named/f" sh -c "$again" >"$dir/out" 2>&1
check "control_a_name_is_opened_again_outside" is "$(tail -n 1 "$dir/out")" named
python3 -c "$by_name" "$dir/named/f" "$warder" run -q --ledger "$ledger" -- sh -c "$again" >"$dir/out" 2>&1
check "a_name_on_standard_input_becomes_null" is "$(cat "$dir/out")" /dev/null

# The start with nothing open.
rm -f "$ledger"
"$warder" run -q --ledger "$ledger" -- sh -c 'ls /proc/self/fd >/tmp/x && test -s /tmp/x && ! echo x' \
	<&- >&- 2>&-
check "starts_with_nothing_open" is $? 0

# Environment that would make the worker's runtime load something.
LD_PRELOAD=/none.so LD_LIBRARY_PATH=/none GCONV_PATH=/none MALLOC_PERTURB_=1 BASH_ENV=/none \
	SECRET_TOKEN=hush "$warder" run -q --ledger "$ledger" -- env >"$dir/out" 2>/dev/null </dev/null
check "no_variable_of_the_loader_and_no_secret" is \
	"$(grep -cE '^(LD_|GCONV|MALLOC|BASH_ENV|SECRET)' "$dir/out")" 0

# Arguments arrive byte by byte: no shell, no option parsing on the way.
inside printf '%s|' -e '$(id)' '`id`' '--' 'a b' '*' '-rf'
check "arguments_arrive_as_they_are" is "$(cat "$dir/out")" '-e|$(id)|`id`|--|a b|*|-rf|'
inside printf '<%s>' 'a
b' '' "$(printf '\033[2J')"
check "and_so_do_lines_and_nothing_and_what_steers_a_terminal" is "$(cat "$dir/out")" "<a
b><>$(printf '<\033[2J>')"

# Bombs.
options="--tasks 24"
inside sh -c 'i=0; while [ $i -lt 60 ]; do sleep 60 & i=$((i+1)); done; echo made all'
check "fork_bomb_meets_tasks" is "$(grep -c 'made all' "$dir/out")" 0
check "its_end_is_in_the_book" is "$(events spawn) $(events exit) $(events end)" "1 1 1"
check "and_that_it_failed" grep -q '"event":"exit".*"status":[1-9]' "$ledger"
options=
inside sh -c 'i=0; while [ $i -lt 60 ]; do sleep 0 & i=$((i+1)); done; echo made all'
check "control_without_tasks_makes_all" is "$(grep -c 'made all' "$dir/out")" 1
check "whose_end_says_so" grep -q '"event":"exit".*"status":0' "$ledger"
options="--files 16"
inside sh -c 'ulimit -n 1000; ulimit -n'
check "limit_of_files_cannot_be_raised" is "$(tail -n 1 "$dir/out")" 16
options="--memory 64M"
inside sh -c 'head -c 200000000 /dev/zero | tail -c 190000000 | wc -c'
check "memory_bomb_meets_its_limit" is "$(grep -c 190000000 "$dir/out")" 0
check "its_cell_ended_in_the_book" is "$(events spawn) $(events exit) $(events end)" "1 1 1"
options=
inside sh -c 'head -c 200000000 /dev/zero | tail -c 190000000 | wc -c'
check "control_without_a_limit_of_memory" is "$(grep -c 190000000 "$dir/out")" 1
# Descriptors, in children and in threads that have left their process's table.
mkdir "$dir/held" && echo x >"$dir/held/file"
cat >"$dir/many.py" <<'END'
import ctypes, errno, os, sys, threading
how, workers, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
got, stay = os.pipe(), os.pipe()
def work():
    n, error = 0, 0
    for i in range(each):
        try: os.open("file", os.O_RDONLY); n += 1
        except OSError as e: error = e.errno
    return "%d %s\n" % (n, errno.errorcode.get(error, "-"))
def child():
    if os.fork() == 0:
        os.write(got[1], work().encode()); os.close(stay[1]); os.read(stay[0], 1); os._exit(0)
def thread(leave):
    def run():
        if leave and libc.unshare(0x400) != 0: os._exit(9)
        os.write(got[1], work().encode()); wait.wait()
    wait = threading.Event(); threading.Thread(target=run, daemon=True).start()
lines = b""
for i in range(workers):
    child() if how == "children" else thread(how == "tables")
    while lines.count(b"\n") <= i: lines += os.read(got[0], 100)
lines = lines.decode().split("\n")[:-1]
print("opened", sum(int(l.split()[0]) for l in lines), *sorted({l.split()[1] for l in lines}))
sys.stdout.flush()
os._exit(0)
END
held() { # rule how workers each
	rm -f "$ledger"
	timeout -k 5 60 "$warder" run -q --ledger "$ledger" -C "$dir/held" --limit "held $1" \
		--allow "read ./" -- python3 -c "$(cat "$dir/many.py")" "$2" "$3" "$4" >"$dir/out" 2>&1
	status=$?
}
opened() { sed -n 's/^opened \([0-9]*\).*/\1/p' "$dir/out"; }
held 1000 children 5 12
check "control_children_open_all_where_there_is_room" is "$(cat "$dir/out")" "opened 60 -"
held 40 children 5 12
check "children_share_what_may_be_held" test "$(opened)" -gt 0 -a "$(opened)" -lt 40
check "and_are_told_so" grep -q EMFILE "$dir/out"
held 1000 tables 5 12
check "control_threads_open_all_where_there_is_room" is "$(cat "$dir/out")" "opened 60 -"
held 40 tables 5 12
check "threads_that_leave_their_table_share_it_too" test "$(opened)" -gt 0 -a "$(opened)" -lt 40
check "and_are_told_so_as_well" grep -q EMFILE "$dir/out"
held 40 threads 5 4
check "threads_of_one_table_are_counted_once" is "$(cat "$dir/out")" "opened 20 -"
options="--time 1s"
inside sleep 30
check "time_ends_the_cell" is "$status" 137
check "time_is_the_end_in_the_book" is "$(events end) $(grep -c "the time limit was reached" "$ledger")" "1 1"
options=

# Copies, loaders and interpreters have no more rights than what they are run by.
mkdir "$dir/data" && echo hidden >"$dir/data/a" && chmod 644 "$dir/data/a"
mkdir "$dir/data/shown" && echo shown >"$dir/data/shown/a"
try() { # command: how often it printed what it must not, in a cell that may read data/shown/
	rm -f "$ledger"
	"$warder" run -q --ledger "$ledger" -e "allow list $dir/data/" \
		-e "allow read $dir/data/shown/" -- sh -c "$1; cat $dir/data/shown/a" \
		>"$dir/out" 2>&1 </dev/null
	grep -q shown "$dir/out" || echo "what is granted did not come:"
	[ "$(grep -c "\"grant\".*$dir/data/shown/a" "$ledger")" -eq 1 ] || echo "not one grant"
	[ "$(grep -c "\"grant\".*$dir/data/a\"" "$ledger")" -eq 0 ] || echo "a grant of what is hidden"
	grep -c hidden "$dir/out"
}
check "control_data_is_readable_outside" is "$(grep -c hidden "$dir/data/a")" 1
check "shell_opens_nothing" is "$(try "read x <$dir/data/a; echo \$x")" 0
check "copied_program_opens_nothing" is \
	"$(try "cp /bin/cat /tmp/cat && /tmp/cat $dir/data/a")" 0
check "loader_opens_nothing" is \
	"$(try "for l in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
		[ ! -e \$l ] || \$l /bin/cat $dir/data/a; done")" 0
check "link_in_tmp_opens_nothing" is "$(try "ln -s $dir/data/a /tmp/l; cat /tmp/l")" 0
options=

# `as broker` has more authority than its worker: what belongs to another is written, not given away.
if [ "$(id -u)" = 0 ]; then
	mkdir "$dir/root" && echo x >"$dir/root/f" && chmod 644 "$dir/root/f"
	rm -f "$ledger"
	"$warder" run -q --ledger "$ledger" --allow "rw $dir/root/ as broker" -- sh -c \
		"echo more >>$dir/root/f && echo written; chown 65534 $dir/root/f || echo kept" >"$dir/out" 2>&1
	check "control_as_broker_writes_what_is_roots" grep -qx written "$dir/out"
	check "and_gives_none_of_it_away" is "$(grep -cx kept "$dir/out") $(stat -c %u "$dir/root/f")" "1 0"
	check "which_is_in_the_book" grep -q '"event":"deny".*"op":"chown".*"reason":"a file is not given away' "$ledger"
fi

# Signals to everybody reach the cell alone.
sleep 60 &
bystander=$!
inside sh -c 'kill -9 -1; kill -9 1; echo still here'
check "signal_to_everybody_stays_inside" kill -0 "$bystander"
check "init_cannot_be_killed_from_inside" is "$(grep -c 'still here' "$dir/out")" 1

# In the host's root no namespace hides it: Landlock's scope is what stops them.
reach='kill -0 $0 2>/dev/null && echo reached; kill -0 $$ && echo there'
if [ "$(id -u)" = 0 ]; then
	setpriv --reuid 65534 --regid 65534 --clear-groups sleep 60 &
else
	sleep 60 &
fi
other=$!
until grep -qx sleep "/proc/$other/comm"; do :; done
if [ "$(id -u)" = 0 ]; then
	setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "$reach" $other >"$dir/out" 2>&1
else
	sh -c "$reach" $other >"$dir/out" 2>&1
fi
check "control_one_of_its_user_is_signalled_outside" is "$(tr '\n' ' ' <"$dir/out")" "reached there "
rm -f "$ledger"
"$warder" run -q --ledger "$ledger" --root host --accept "missing uid" -- sh -c "$reach" $other \
	>"$dir/out" 2>&1 </dev/null
check "one_of_its_user_is_not_signalled_from_the_hosts_root" is "$(cat "$dir/out")" there
kill "$bystander" "$other"
finish
