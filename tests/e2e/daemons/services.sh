# SPDX-License-Identifier: MIT
# services.sh - the API of a container engine, and a program that a connection starts.

start_services() {
	start_podman
	start_activated
}

rows_of_services() {
	rows_of_podman
	rows_of_activated
}

# ---- the Docker API, by podman ------------------------------------------------------------------------

start_podman() {
	has_podman=no
	needs Docker podman curl || return 0
	mkdir -m 755 "$socks/docker"
	mkdir -m 700 pod
	# With a uid alone it would ask for a range of them; as root of a namespace it does without.
	as_root=
	[ "$(id -u)" = 0 ] || as_root='unshare --user --map-root-user'
	# Its locks would stand in /dev/shm else, under a name of which there is one.
	printf '[engine]\nlock_type = "file"\n' >pod/containers.conf
	# --runroot must not be longer than 50 characters.
	daemon podman env HOME="$dir/pod" XDG_RUNTIME_DIR="$dir/pod" XDG_CONFIG_HOME="$dir/pod" \
		XDG_DATA_HOME="$dir/pod" CONTAINERS_CONF="$dir/pod/containers.conf" \
		$as_root podman --root "$dir/pod/root" --runroot "$scratch/pod" --tmpdir "$dir/pod/tmp" \
		--storage-driver vfs --cgroup-manager cgroupfs --events-backend file \
		system service --time 0 "unix://$socks/docker/docker.sock"
	has_podman=yes
}

rows_of_podman() {
	[ $has_podman = yes ] && up podman test -S "$socks/docker/docker.sock" || return 0
	chmod 666 "$socks/docker/docker.sock"
	row "Docker's API (podman)" curl "connect $socks/docker/docker.sock" docker/docker.sock OK \
		curl -sS --fail --unix-socket "$socks/docker/docker.sock" http://localhost/_ping
}

# ---- systemd's socket activation ----------------------------------------------------------------------

# The program sends back what it got, up to an empty line.
activate() { # name address
	daemon "$1" systemd-socket-activate --listen "$2" --accept --inetd sed -u '/^\r*$/q'
}

start_activated() {
	has_activated=no
	needs "socket activation" systemd-socket-activate curl bash || return 0
	mkdir -m 755 "$socks/echo"
	activate activate-path "$socks/echo/socket"
	activate activate-tcp 127.0.0.1:7007
	has_activated=yes
}

rows_of_activated() {
	[ $has_activated = yes ] && up activate-path test -S "$socks/echo/socket" || return 0
	chmod 666 "$socks/echo/socket"
	row "socket activation (systemd)" "curl" "connect $socks/echo/socket" echo/socket "GET /path HTTP/1.1" \
		curl -sS --http0.9 --unix-socket "$socks/echo/socket" http://localhost/path
	row "socket activation (systemd)" "bash's /dev/tcp" "connect 127.0.0.1:7007" 127.0.0.1:7007 words \
		bash -c 'exec 3<>/dev/tcp/127.0.0.1/7007 && printf "words\n\n" >&3 && cat <&3'
}
