#!/bin/sh
# Sees to the programs of the system that tests run: programs.sh PROGRAM=PACKAGE…, names as in Debian.
# As root it installs what is missing; otherwise it names the packages and fails.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

missing=""
for wanted in "$@"; do
    command -v "${wanted%%=*}" >/dev/null || missing="$missing ${wanted#*=}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== installing$missing"
    # Tests start the programs themselves: no package may leave a service behind that listens.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    # shellcheck disable=SC2086 # a list of names
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
    case "$missing" in
        *openssh-server*) systemctl disable --quiet ssh.service 2>/dev/null || true ;;
    esac
else
    echo "the tests run programs of these packages: run 'sudo apt-get install$missing', then this again" >&2
    exit 1
fi
