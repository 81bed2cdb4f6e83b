# Read by the scripts that install what a floor of tests needs: `wanted PROGRAM PACKAGE` or
# `wanted_path PATH PACKAGE` for each, then `install_wanted NAME`. Never fails a test run: where it cannot install, it says why in one
# line, and the tests skip themselves with their own reason.
# shellcheck shell=sh

need=""

wanted() {
    for place in $(echo "$PATH" | tr : ' ') /usr/sbin /usr/lib/podman /usr/libexec/podman; do
        [ ! -x "$place/$1" ] || return 0
    done
    need="$need $2"
}

wanted_path() {
    [ -e "$1" ] || need="$need $2"
}

install_wanted() {
    say() { echo "$name: $*"; }
    name=$1
    [ -n "$need" ] || { say "everything is here"; return 0; }
    [ "$(id -u)" = 0 ] || { say "not installed: needs root; try: sudo apt-get install$need"; return 0; }
    command -v apt-get >/dev/null 2>&1 || { say "not installed: no apt-get here; wanted:$need"; return 0; }
    export DEBIAN_FRONTEND=noninteractive
    get="apt-get -qq -y -o DPkg::Lock::Timeout=300"
    # shellcheck disable=SC2086  # several words on purpose
    if $get install --no-install-recommends $need >/dev/null 2>&1 || {
        $get update >/dev/null 2>&1 && $get install --no-install-recommends $need >/dev/null 2>&1
    }; then
        say "installed$need"
    else
        say "not installed: apt-get could not fetch$need"
    fi
}
