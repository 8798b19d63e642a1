# SPDX-License-Identifier: MIT
# enter.sh - runs the script that sources it again, in a network and a mount namespace of its own.
#
# An ordinary user gets them by a user namespace, in which it is itself: the cells nest in there.

set -u
IN_A_NETWORK_OF_ITS_OWN=yes
export IN_A_NETWORK_OF_ITS_OWN
namespaces='--net --mount'
[ "$(id -u)" = 0 ] || namespaces="$namespaces --user --map-current-user --keep-caps"
# shellcheck disable=SC2086 # words
if why=$(unshare $namespaces ip link set lo up 2>&1); then
	exec unshare $namespaces sh "$here/daemons/network.sh" "$0" "$@"
fi
echo "ok 1 - daemons # SKIP needs unshare and ip, and namespaces: $why"
echo 1..1
exit 0
