#!/bin/sh
# Install what the NAT lab needs: nftables, iproute2, conntrack (to forget NAT mappings).
#
# Never fails a test run: where it cannot install, it says why in one line and exits 0, and the
# tests of the lab skip themselves with their own reason.
set -u

say() { echo "nat lab: $*"; }

need=""
command -v nft >/dev/null 2>&1 || [ -x /usr/sbin/nft ] || need="$need nftables"
command -v ip >/dev/null 2>&1 || [ -x /usr/sbin/ip ] || need="$need iproute2"
command -v conntrack >/dev/null 2>&1 || [ -x /usr/sbin/conntrack ] || need="$need conntrack"

[ "$(uname -s)" = Linux ] || { say "not installed: network namespaces are Linux's"; exit 0; }
[ -n "$need" ] || { say "everything is here"; exit 0; }
[ "$(id -u)" = 0 ] || { say "not installed: needs root; try: sudo apt-get install$need"; exit 0; }
command -v apt-get >/dev/null 2>&1 || { say "not installed: no apt-get here; wanted:$need"; exit 0; }

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # several words on purpose
if apt-get install -qq -y --no-install-recommends $need >/dev/null 2>&1 || {
    apt-get update -qq >/dev/null 2>&1 &&
        apt-get install -qq -y --no-install-recommends $need >/dev/null 2>&1
}; then
    say "installed$need"
else
    say "not installed: apt-get could not fetch$need"
fi
exit 0
