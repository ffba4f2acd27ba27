#!/usr/bin/env bash
# Installs codemix with its dev extra into .venv and runs the tests. Arguments go to pytest: launch/test.sh -m slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
codemix_environment dev
# Workers, each with whole files. Tests wait a fifth of their time, so there is one more than processors; a worker takes up to 6 GB.
workers=$(($(getconf _NPROCESSORS_ONLN) + 1))
if [ -r /proc/meminfo ]; then
  room=$(awk '/^MemTotal/ { print int($2 / 7e6) }' /proc/meminfo)
  workers=$((room < workers ? room : workers))
fi
exec .venv/bin/python -m pytest -n "$((workers < 2 ? 2 : workers))" --dist loadfile "$@"
