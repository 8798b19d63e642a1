# SPDX-License-Identifier: MIT
# desktop.sh - D-Bus, ssh-agent and X11: what a session of a person's has.

start_desktop() {
	start_dbus
	start_agent
	start_x11
}

rows_of_desktop() {
	rows_of_dbus
	rows_of_agent
	rows_of_x11
}

# ---- D-Bus, at a path and under an abstract name ------------------------------------------------------

start_dbus() {
	has_dbus=no
	needs D-Bus dbus-daemon dbus-send busctl || return 0
	mkdir -m 755 "$socks/dbus"
	cat >bus.conf <<-END
		<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
		 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
		<busconfig>
		<listen>unix:path=$socks/dbus/bus</listen>
		<listen>unix:abstract=warder-test/bus</listen>
		<auth>EXTERNAL</auth>
		<policy context="default"><allow user="*"/>
		<allow send_destination="*"/><allow receive_sender="*"/></policy>
		</busconfig>
	END
	daemon dbus dbus-daemon --config-file=bus.conf --nofork --nopidfile --nosyslog
	has_dbus=yes
}

rows_of_dbus() {
	[ $has_dbus = yes ] && up dbus test -S "$socks/dbus/bus" || return 0
	bus=org.freedesktop.DBus
	row D-Bus "dbus-send" "connect $socks/dbus/bus" dbus/bus "uint32 $(id -u)" \
		dbus-send --bus="unix:path=$socks/dbus/bus" --print-reply=literal --dest=$bus / \
		$bus.GetConnectionUnixUser string:$bus
	row D-Bus "busctl" "connect $socks/dbus/bus" dbus/bus "u $(id -u)" \
		busctl --address="unix:path=$socks/dbus/bus" call $bus / $bus GetConnectionUnixUser s $bus
	row D-Bus "busctl, to an abstract name" "connect @warder-test/bus" warder-test/bus "u $(id -u)" \
		busctl --address="unix:abstract=warder-test/bus" call $bus / $bus GetConnectionUnixUser s $bus
}

# ---- ssh-agent, which answers its own user alone ------------------------------------------------------

start_agent() {
	has_agent=no
	needs ssh-agent ssh-agent ssh-add ssh-keygen || return 0
	worker_dir key "$socks/ssh"
	$as_worker ssh-keygen -q -t ed25519 -N '' -C 'a key' -f key/id </dev/null
	daemon ssh-agent $as_worker ssh-agent -D -a "$socks/ssh/agent.sock"
	has_agent=yes
}

rows_of_agent() {
	[ $has_agent = yes ] && up ssh-agent test -S "$socks/ssh/agent.sock" || return 0
	SSH_AUTH_SOCK=$socks/ssh/agent.sock $as_worker ssh-add -q key/id && rm key/id
	echo text >text
	row ssh-agent "ssh-add" "connect $socks/ssh/agent.sock" ssh/agent.sock "a key (ED25519)" \
		env SSH_AUTH_SOCK="$socks/ssh/agent.sock" ssh-add -l
	also="allow read $dir/key/id.pub $dir/text"
	row ssh-agent "ssh-keygen, to sign" "connect $socks/ssh/agent.sock" ssh/agent.sock "SSH SIGNATURE" \
		env SSH_AUTH_SOCK="$socks/ssh/agent.sock" \
		sh -c 'ssh-keygen -Y sign -n test -f "$1" <"$2"' sh "$dir/key/id.pub" "$dir/text"
	also=
}

# ---- X11, which is at a path and under an abstract name of the same text -----------------------------

start_x11() {
	has_x11=no
	needs X11 Xvfb xdpyinfo || return 0
	[ -d /tmp/.X11-unix ] || trap 'cleanup; rmdir /tmp/.X11-unix 2>/dev/null' EXIT
	daemon x11 Xvfb -displayfd 3 -screen 0 64x64x8 -nolisten tcp -noreset 3>display
	has_x11=yes
}

rows_of_x11() {
	[ $has_x11 = yes ] && up x11 test -s display || return 0
	n=$(cat display)
	# The client tries the abstract name first, and the path where nobody is at that.
	for name in @ ''; do
		kind='by its path'
		[ -z "$name" ] || kind='by its abstract name'
		row X11 "xdpyinfo, $kind" "connect $name/tmp/.X11-unix/X$n" "/tmp/.X11-unix/X$n" "vendor string" \
			env DISPLAY=":$n" xdpyinfo
	done
}
