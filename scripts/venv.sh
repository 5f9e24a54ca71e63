#!/usr/bin/env bash
# Make the virtual environment FOLDER if it is missing, and put the pinned uv into it.
# usage: scripts/venv.sh FOLDER   (PYTHON=<interpreter> chooses the Python it is made with)
set -euo pipefail

folder=${1:?usage: scripts/venv.sh FOLDER}
constraints=$(cd "$(dirname "$0")/.." && pwd)/constraints.txt

usable() { # the provider's Python versions, with what it takes to make an environment that has pip
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, ensurepip, venv; sys.exit(not sys.version_info[:2] >= (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No usable Python${PYTHON:+: $PYTHON is too old or incomplete}." >&2
    echo "Needed: Python 3.11, 3.12 or 3.13 with the venv module (on Debian and Ubuntu: python3-venv)." >&2
    echo "Name one that make does not find by itself with: make PYTHON=/path/to/python3.11 <target>" >&2
    return 1
}

if ! "$folder/bin/python" -c 'import sys; sys.exit(not sys.version_info[:2] >= (3, 11))' 2>/dev/null; then
    if [ -x "$folder/bin/python" ]; then
        echo "$folder holds a Python older than 3.11: remove the folder and run make again." >&2
        exit 1
    fi
    python=$(find_python)
    echo "Making $folder with $("$python" --version)"
    "$python" -m venv "$folder"
fi

# An environment made by another tool may come without pip.
"$folder/bin/python" -m pip --version >/dev/null 2>&1 || "$folder/bin/python" -m ensurepip >/dev/null
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" uv
