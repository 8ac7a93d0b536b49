#!/bin/sh
# Makes .venv with exactly what requirements.lock names, and this project in it. Needs Python 3.11 and nothing else.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/.installed

if [ -e "$stamp" ] && [ "$stamp" -nt requirements.lock ] && [ "$stamp" -nt pyproject.toml ]; then
    exit 0
fi

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "no Python 3.11 or newer on PATH: install it, or name it with PYTHON=/path/to/python3" >&2
    return 1
}

if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "== installing python3-venv"
            apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv
        else
            echo "this Python makes no virtual environments: run 'sudo apt-get install python3-venv', then this again" >&2
            exit 1
        fi
    fi
    echo "== making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi

.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip
pip() {
    .venv/bin/python -m pip --disable-pip-version-check "$@"
}
# --no-deps: the lock is complete, and pip looks past its pins where a package asks for another with an extra
echo "== installing $(grep -c '^[a-z].*==' requirements.lock) locked packages into .venv"
pip install --no-deps --require-hashes -r requirements.lock
pip install --no-deps --no-build-isolation -e .
touch "$stamp"
