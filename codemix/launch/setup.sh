#!/bin/bash
# On a TPU VM, or a machine of SkyPilot: makes the environment env/ of a run, unless it is there already.
# Usage: setup.sh PYTHON REQUIREMENT   (a version, what pip is to install), beside constraints.txt and perhaps a wheel
set -euo pipefail
shopt -s nullglob
cd "$(dirname "${BASH_SOURCE[0]}")"
stamp=$(echo "$@" | cat - constraints.txt ./*.whl | sha256sum)
if [ "$(cat env/codemix-stamp 2>/dev/null)" = "$stamp" ]; then
  exit
fi
# The image's own Python may be older than codemix supports. uv finds another one, or downloads it.
python3 -m uv --version >/dev/null 2>&1 ||
  python3 -m pip install --quiet --user uv 2>/dev/null ||
  python3 -m pip install --quiet --user --break-system-packages uv
rm -rf env
python3 -m uv venv --quiet --python "$1" env
python3 -m uv pip install --quiet --python env/bin/python --constraint constraints.txt "$2"
echo "$stamp" >env/codemix-stamp
