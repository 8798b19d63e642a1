# SPDX-License-Identifier: MIT
# network.sh COMMAND... - makes the network that the test runs in, and runs it there without the
# capabilities that this took.
#
# Sourced by nobody: it is what unshare starts.  192.0.2.1 and 2001:db8::7 are addresses of no loopback
# kind that lead nowhere (RFC 5737, RFC 3849); of a kernel without IPv6 the second is not asked for.

set -eu
ip link set lo up
ip address add 192.0.2.1/32 dev lo
[ ! -e /proc/sys/net/ipv6 ] || ip -6 address add 2001:db8::7/128 dev lo nodad || true
# The name server's port is an ordinary one here.
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
# A directory that holds nothing, so that a file system of ours hides nothing.
for scratch in /mnt /media /srv /opt /boot; do
	[ -d $scratch ] && [ -z "$(ls -A $scratch)" ] && break
done
export scratch
mount -t tmpfs -o mode=755 none $scratch
echo 'nameserver 127.0.0.1' >$scratch/resolv.conf
printf '%s: files\n' passwd group shadow services protocols >$scratch/nsswitch.conf
echo 'hosts: files dns' >>$scratch/nsswitch.conf
for file in resolv.conf nsswitch.conf; do
	# Without the file, the C library does what is said there by itself.
	[ ! -e "/etc/$file" ] || mount --bind "$scratch/$file" "$(readlink -f "/etc/$file")"
done
[ "$(id -u)" != 0 ] || exec "$@"
exec setpriv --ambient-caps=-all --inh-caps=-all "$@"
