#!/bin/sh
# Builds the image and runs what docs/install.md says of it, where there is no Docker: Debian's
# Buildah builds and its Podman runs, over a base made by debootstrap where no registry is at hand.
#
#   sudo sh tests/image.sh [FOLDER]    FOLDER keeps what is built for the next time (2 GB)
#
# Needs root on Linux, apt-get, and a package index. Containers run in namespaces of their own:
# no port of this machine is taken, and nothing is left but FOLDER and the Debian packages.
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python

say() {
    echo "image: $*"
}

cannot() {
    echo "SKIPPED [1] tests/image.sh: cannot be had here: $*"
    echo "1 skipped"
    exit 0
}

[ "$(uname -s)" = Linux ] || cannot "containers are Linux's"
[ "$(id -u)" = 0 ] || cannot "it needs root: sudo sh tests/image.sh"
. tests/install.sh
for program in buildah podman crun catatonit iptables debootstrap netavark aardvark-dns; do
    wanted $program $program
done
wanted ip iproute2
install_wanted image
for program in buildah podman crun catatonit iptables debootstrap ip; do
    command -v $program >/dev/null || cannot "$program is not installed"
done

if [ $# -gt 0 ]; then
    mkdir -p "$1"
    folder=$(realpath "$1")
else
    folder=$(mktemp -d /var/tmp/privox-image-XXXXXX)
    # Only what this run made: a container's mounts are gone with its namespace.
    trap 'rm -rf --one-file-system "$folder"' EXIT
fi
export TEST_IMAGE_FOLDER="$folder"
docker="$python tests/image/container_engine.py"

base=$(sed -n 's/^ARG BASE=//p' Dockerfile)
release=${base##*-} # the Debian release in the base's name
minor=$(expr "$base" : 'python:\([0-9]*\.[0-9]*\)')
if timeout 120 $docker pull "docker.io/library/$base" >/dev/null 2>&1; then
    export TEST_IMAGE_BASE="docker.io/library/$base"
else
    export TEST_IMAGE_BASE="localhost/privox-base-$release"
    if ! $docker image exists "$TEST_IMAGE_BASE"; then
        say "no registry is at hand: a base of Debian $release by debootstrap"
        rm -rf "$folder/base"
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
            "$release" "$folder/base" >"$folder/debootstrap.log" 2>&1 ||
            { tail -3 "$folder/debootstrap.log"; cannot "debootstrap failed"; }
        rm -rf "$folder/base/var/cache/apt/archives" "$folder/base/var/lib/apt/lists"
        $docker import-folder "$folder/base" "$TEST_IMAGE_BASE"
        rm -rf "$folder/base"
    fi
fi

say "what is pinned can be had for both kinds of processor"
for machine in x86_64 aarch64; do
    "$python" -m pip install --quiet --disable-pip-version-check --dry-run --no-deps \
        --require-hashes --only-binary :all: --target "$folder/none" --python-version "$minor" \
        --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux2014_$machine" --requirement deploy/requirements/embedded.txt
done

say "building over $TEST_IMAGE_BASE"
$docker build --tag privox-dht .
status=0
# Of its own: mounts (crun wants one kind of cgroups, and some systems mount two) and network.
unshare --mount --net sh -ec '
    if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
    ip link set lo up
    exec "$@"' sh "$python" -m pytest -q -rP tests/image || status=$?
exit "$status"
