#!/bin/sh
# Install what the NAT lab needs: nftables, iproute2, conntrack (to forget NAT mappings).
set -u
. "$(dirname "$0")/../install.sh"

[ "$(uname -s)" = Linux ] || { echo "nat lab: not installed: network namespaces are Linux's"; exit 0; }
wanted nft nftables
wanted ip iproute2
wanted conntrack conntrack
install_wanted "nat lab"
