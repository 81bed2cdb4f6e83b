#!/bin/sh
# Boots a Debian with deploy/privox-node.service in it and does what docs/install.md says of it: the
# node starts, has no rights, speaks and hears, comes back after a crash, and ends when it is told to.
#
#   sudo sh tests/systemd.sh [FOLDER [RELEASE]]    FOLDER keeps the Debian for the next time (1 GB);
#                                                  RELEASE is bookworm, or a newer one
#
# Needs root on Linux, apt-get, and a package index. The machine that is booted has no network but
# its own loopback.
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
release=${2:-bookworm} # the oldest Debian whose Python can run it; its systemd takes both kinds of cgroups

cannot() {
    echo "SKIPPED [1] tests/systemd.sh: cannot be had here: $*"
    echo "1 skipped"
    exit 0
}

[ "$(uname -s)" = Linux ] || cannot "systemd is Linux's"
[ "$(id -u)" = 0 ] || cannot "it needs root: sudo sh tests/systemd.sh"
. tests/install.sh
wanted systemd-nspawn systemd-container
wanted debootstrap debootstrap
install_wanted systemd
for program in systemd-nspawn debootstrap nsenter; do
    command -v $program >/dev/null || cannot "$program is not installed"
done

machine="" # the process of nspawn
ended() {
    [ -z "$machine" ] || kill "$machine" 2>/dev/null || true
    [ -z "$machine" ] || wait "$machine" 2>/dev/null || true
    rm -rf --one-file-system "$made"
}
made=$(mktemp -d /var/tmp/privox-systemd-XXXXXX) # what only this run needs
trap ended EXIT
folder=${1:-$made/debian}
if [ ! -e "$folder/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,systemd,dbus \
        "$release" "$folder" >"$made/debootstrap.log" 2>&1 ||
        { tail -3 "$made/debootstrap.log"; cannot "debootstrap failed"; }
fi

"$python" -m build --outdir "$made" . >"$made/build.log" 2>&1 || { cat "$made/build.log"; exit 1; }
cp /etc/resolv.conf "$folder/etc/"
trusted=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} # as the package index may want it
cp "$trusted" "$folder/etc/ssl/certs/ca-certificates.crt"
cp "$made"/*.whl "$folder/root/"
chroot "$folder" sh -ec '
    [ -x /opt/privox/bin/python ] || python3 -m venv /opt/privox
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1
    /opt/privox/bin/pip install --quiet "$(ls /root/*.whl)[embedded]"
    /opt/privox/bin/pip install --quiet --no-deps --force-reinstall /root/*.whl
    rm /root/*.whl'
install -D -m 644 deploy/privox-node.service "$folder/etc/systemd/system/privox-node.service"
mkdir -p "$folder/etc/privox"
printf 'host = "127.0.0.1"\nservices = ["stt/cpu", "tts/cpu"]\n' >"$folder/etc/privox/node.toml"

# Some machines mount two kinds of cgroups; nspawn wants one. It would forbid Landlock, as no
# machine of one's own does.
unshare --mount --cgroup sh -c '
    if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
    exec systemd-nspawn --quiet --register=no --keep-unit --private-network --boot --console=pipe \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
        --directory="$1"' sh "$folder" >"$made/boot.log" 2>&1 </dev/null &
machine=$!

within() { # SECONDS COMMAND...: until it succeeds
    left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}
booted() { # the child of nspawn is another one while it begins
    init=$(cut -d" " -f1 </proc/"$machine"/task/"$machine"/children) && [ "$init" ] &&
        there systemctl start privox-node
}
there() { nsenter --all --target "$init" -- "$@"; }
property() { there systemctl show --value --property "$1" privox-node; }
published() { there journalctl --boot --unit privox-node --since "$since" | grep -q published; }
restarted() { [ "$(property NRestarts)" -ge 1 ] && published; }

passed=0
good() {
    passed=$((passed + 1))
    echo "systemd: $*"
}
bad() {
    echo "systemd: FAILED: $*"
    [ -z "${init-}" ] || there journalctl --boot --unit privox-node --no-pager | tail -30
    tail -5 "$made/boot.log"
    echo "1 failed, $passed passed"
    exit 1
}

within 60 booted || bad "the machine does not boot, or the unit does not start"
since=today
within 120 published || bad "the node publishes nothing"
good "the node starts: $(there journalctl --boot --unit privox-node | grep -o 'in a sandbox: .*')"
there env PRIVOX_STATE_DIR=/var/lib/privox /opt/privox/bin/privox-node health >/dev/null || bad "health"
good "health answers as the page has it"
main=$(property MainPID)
rights=$(there grep -c '^Cap.*0000000000000000$' "/proc/$main/status")
[ "$rights" = 5 ] || bad "it has capabilities"
[ "$(there stat -c %u "/proc/$main")" != 0 ] || bad "it runs as root"
good "it runs as user $(there stat -c %u "/proc/$main") without a capability"
said="good morning everybody"
ask="/opt/privox/bin/privox-client --state-dir /root/client --neighbours 127.0.0.1:5678"
there $ask --service tts --text "$said" --output /root/spoken.wav || bad "it does not speak"
[ "$(there $ask --service stt --file /root/spoken.wav)" = "$said" ] || bad "it does not hear"
good "it speaks and hears"
since=$(there date +%H:%M:%S)
there sh -c "kill -KILL $main"
# Where nobody tells systemd that a killed service is gone (cgroups of the older kind, in a
# container), it looks after TimeoutStopSec.
within 180 restarted || bad "it does not come back"
good "it comes back after a crash"
# a private mesh, its secret handed over as docs/install.md says
there /opt/privox/bin/privox-node secret new /etc/privox/friends.secret || bad "no secret is made"
there mkdir -p /etc/systemd/system/privox-node.service.d
there sh -c 'printf "[Service]\nLoadCredential=friends.secret:/etc/privox/friends.secret\n" \
    >/etc/systemd/system/privox-node.service.d/secret.conf
printf "network = \"friends\"\nsecret-file = \"%s\"\n" \
    /run/credentials/privox-node.service/friends.secret >>/etc/privox/node.toml'
since=$(there date +%H:%M:%S)
there systemctl daemon-reload
there systemctl restart privox-node || bad "the node of a private mesh does not start"
within 120 published || bad "the node of a private mesh publishes nothing"
friend="--network friends --secret-file /etc/privox/friends.secret"
[ "$(there $ask $friend --service stt --file /root/spoken.wav)" = "$said" ] || bad "a member is not heard"
there $ask --service stt --file /root/spoken.wav --wait 1 2>/dev/null && bad "a stranger is heard"
good "systemd hands it the secret of a private mesh: a member is heard, a stranger is not"
there systemctl stop privox-node
[ "$(property Result) $(property ExecMainStatus)" = "success 0" ] || bad "it does not end well"
good "it ends when it is told to"
echo "$passed passed"
