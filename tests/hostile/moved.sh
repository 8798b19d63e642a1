#!/bin/sh
# SPDX-License-Identifier: MIT
# moved.sh - what somebody outside moves while a worker uses it: the directory in which it makes
# one file after the other, and the file of a descriptor whose times it sets.
. "${TOP:?}/tests/hostile/lib.sh"

old=981173106 # 2001-02-03 04:05:06 UTC
mkdir -m 777 "$dir/w" "$dir/w/way" "$dir/w/secret" "$dir/out" || exit 2
chmod 777 "$dir" # it is the worker's user who makes files there

# A worker that does one line of shell after the other, each when it is told to.  `do_inside LINE`
# is its status.
begin() { # policy
	mkfifo "$dir/to" "$dir/from" || exit 2
	rm -f "$ledger"
	timeout -k 5 120 "$warder" run -q --ledger "$ledger" -e "$1" -e "${2:-# none}" -- \
		/bin/sh -c 'while IFS= read -r line; do eval "$line"; echo "$?"; done 2>/dev/null' \
		<"$dir/to" >"$dir/from" &
	worker=$!
	exec 3>"$dir/to" 4<"$dir/from"
}

do_inside() {
	printf '%s\n' "$1" >&3
	IFS= read -r r <&4 || return 99
	return "$r"
}

end() {
	exec 3>&- 4<&-
	wait "$worker"
	rm -f "$dir/to" "$dir/from"
}

refused() {
	! do_inside "$1"
}

mtime() {
	stat -c %Y "$1"
}

# As touch(1) does with "-": by the descriptor alone.
sets_times() { # path of the file by now
	touch "$1" && do_inside "touch -d @$old - >&5" && is "$(mtime "$1")" "$old"
}

sets_no_times() { # path of the file by now
	touch "$1" && refused "touch -d @$old - >&5" && [ "$(mtime "$1")" != "$old" ]
}

# ---- the way to a directory --------------------------------------------------------------------

makes() { # name
	do_inside "( set -C; : >$dir/w/way/$1 )" && [ -f "$dir/w/way/$1" ]
}

makes_none() { # name
	refused "( set -C; : >$dir/w/way/$1 )"
}

changed_ways() {
	events_of='"reason":"the way there has changed"'
	is "$(grep -c "$events_of" "$ledger")" "$1"
}

begin "allow rw $dir/w/" "deny rw $dir/w/secret/"
check files_are_made_one_after_the_other makes a
check the_second_one_in_a_directory_too makes b
check and_the_third makes c
check no_line_is_one_too_many is "$(grep -c 'w/way/[abc]"' "$ledger")" 6
mv "$dir/w/way" "$dir/w/before" && ln -s secret "$dir/w/way"
check a_symlink_that_took_the_directory_s_place_leads_to_nothing_denied makes_none d
check nothing_was_made_there [ ! -e "$dir/w/secret/d" ]
check what_was_not_made_is_in_the_book changed_ways 1
rm "$dir/w/way" && ln -s "$dir/out" "$dir/w/way"
check nor_out_of_the_tree makes_none e
check nothing_was_made_outside [ ! -e "$dir/out/e" ]
rm "$dir/w/way" && mkdir -m 777 "$dir/w/way"
check another_directory_of_that_name_is_the_directory makes f
check not_the_one_that_was [ ! -e "$dir/w/before/f" ]
makes g
rm "$dir/w/way/g" "$dir/w/way/f" && rmdir "$dir/w/way"
check in_one_that_is_gone_nothing_is_made makes_none h
mkdir -m 777 "$dir/w/way"
check once_it_is_back_they_are makes i
chmod 555 "$dir/w/way"
[ "$(id -u)" = 0 ] || chmod 000 "$dir/w/way"
check in_one_that_is_closed_nothing_is_made makes_none j
chmod 777 "$dir/w/way"
check nothing_was_made_in_it [ ! -e "$dir/w/way/j" ]
end

# ---- the file of a descriptor ------------------------------------------------------------------

begin "allow rw $dir/w/" "deny rw $dir/w/secret/"
do_inside "exec 5>$dir/w/f"
check the_times_of_a_file_that_may_be_written_are_set sets_times "$dir/w/f"
mv "$dir/w/f" "$dir/w/g" && : >"$dir/w/f"
check under_its_new_name_too sets_times "$dir/w/g"
check what_has_the_old_one_is_another_file [ "$(mtime "$dir/w/f")" != "$old" ]
mv "$dir/w/g" "$dir/w/g (deleted)"
check a_name_that_looks_like_none_is_one sets_times "$dir/w/g (deleted)"
mv "$dir/w/g (deleted)" "$dir/w/secret/f"
check none_of_a_file_that_was_moved_to_where_it_is_denied sets_no_times "$dir/w/secret/f"
mv "$dir/w/secret/f" "$dir/out/f"
check none_of_one_that_was_moved_out_of_the_tree sets_no_times "$dir/out/f"
mv "$dir/out/f" "$dir/w/f"
check once_it_is_back_its_times_are_set sets_times "$dir/w/f"
ln "$dir/w/f" "$dir/out/f" && rm "$dir/w/f"
check none_of_one_whose_name_is_gone sets_no_times "$dir/out/f"
: >"$dir/w/f (deleted)"
check not_even_if_another_has_the_name_that_is_told sets_no_times "$dir/out/f"
do_inside ": >$dir/w/h; exec 5<$dir/w/h"
check a_descriptor_for_reading_is_enough_where_writing_is_allowed sets_times "$dir/w/h"
end

begin "allow read $dir/w/"
do_inside "exec 5<$dir/w/h"
check but_not_where_it_is_not sets_no_times "$dir/w/h"
end

finish
