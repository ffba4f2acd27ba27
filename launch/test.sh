#!/usr/bin/env bash
# Installs codemix with its dev extra into .venv and runs the tests. Arguments go to pytest: launch/test.sh -m slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
codemix_environment dev
# Two workers, each with whole files: a worker takes up to 6 GB.
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
