#!/bin/sh
# SPDX-License-Identifier: MIT
# git.sh - a worker in a repository under the preset `agent`: what it leaves there for the git that is
# run outside.  Each way is tried without the preset too, where it has to work.
#
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

command -v git >/dev/null 2>&1 || {
	skip "what git runs outside" "no git on this host"
	finish
}

GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_CONFIG_NOSYSTEM GIT_CONFIG_GLOBAL
# A git that takes the worker's repository for its own user's, as it is where both are one user.
outside() {
	git -c 'safe.directory=*' "$@"
}

# A repository with one commit and a directory "sub", the worker's.
repository() {
	rm -rf "$dir/repo"
	mkdir "$dir/repo"
	(cd "$dir/repo" && git init -q . && git config user.name w && git config user.email w@example.org &&
		mkdir sub && echo one >one && echo two >sub/two && git add . && git commit -q -m first) || exit 2
	[ "$(id -u)" != 0 ] || chown -R 65534:65534 "$dir/repo"
}

# Runs a program of sh in the repository, with or without the preset.
worker() { # yes|no program
	if [ "$1" = yes ]; then
		set -- "$2" -e "use agent"
	else
		set -- "$2"
	fi
	program=$1
	shift
	timeout -k 5 60 "$warder" run -q --ledger "$dir/ledger.jsonl" "$@" -e "allow rwx $dir/repo/" \
		--env GIT_CONFIG_NOSYSTEM --env GIT_CONFIG_GLOBAL -C "$dir/repo" -- \
		sh -c "$program" >"$dir/out" 2>&1 </dev/null
}

ran() {
	[ -e "$dir/repo/ran" ]
}

# What the user does afterwards.
look() {
	(
		cd "$dir/repo" || exit
		outside status
		outside diff
		cd sub && outside status
	) >>"$dir/out" 2>&1
}

# A name, and the program that leaves something behind: it works without the preset alone.
attack() { # name program
	for preset in no yes; do
		rm -f "$dir/ledger.jsonl"
		repository
		worker $preset "$2"
		look
		if [ $preset = no ]; then
			check "the control: without the preset, $1" ran
		else
			check "with it, nothing runs by way of $1" not ran
		fi
	done
}

not() {
	! "$@"
}

# All of a repository, beside it, with a setting that names a program.
evil='mkdir evil && cp -r .git/objects .git/refs .git/HEAD evil/ && cp .git/index evil/ &&
	printf "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = touch %s/ran; false\n" "$PWD" >evil/config'
attack "a setting of .git/config" 'git config core.fsmonitor "touch $PWD/ran; false"'
attack "another repository, by .git/commondir" "$evil; echo ../evil >.git/commondir"
attack "another repository, by a file sub/.git" "$evil; echo gitdir: ../evil >sub/.git
	git rm -q --cached sub/two; git update-index --add --cacheinfo 160000,\$(git rev-parse HEAD),sub"
attack "another repository, by a link sub/.git" "$evil; ln -s ../evil sub/.git"
attack "another repository, by a directory that becomes sub/.git" "$evil; mv evil sub/.git"
attack "another repository, by .git itself" "$evil; mv .git old && mv evil .git"
attack "a setting, by .git given another name" \
	'mv .git g; printf "[core]\n\tfsmonitor = touch %s/ran; false\n" "$PWD" >>g/config; mv g .git'

# What the work is goes on.
repository
worker yes 'set -e; echo three >three; git add three; git commit -q -m second; git checkout -q -b b
	echo four >>three; git commit -q -a -m third; git checkout -q -; git merge -q b; git gc -q
	git branch -D b; git tag t; git stash list; git rev-parse HEAD'
check "add, commit, checkout, merge, gc, branch and tag go on" is $? 0
worker yes 'git init -q new'
check "git init fails" not is $? 0
repository
worker no 'git init -q new'
check "the control: without the preset it does not" is $? 0
finish
