#!/usr/bin/env bash
# Installs codemix into .venv and runs the quickstart study: five recipes of text and code, three stages each,
# on two CPU cores in a few minutes. Run again, it goes on where it was; when all is done, it takes seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
codemix_environment ""
export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
export CODEMIX_DATA_DIR=${CODEMIX_DATA_DIR:-$PWD/runs/data}
# Without these, glibc returns the step's large arrays to the system each time and asks for them anew.
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=268435456
exec .venv/bin/codemix study \
  --gin_file=studies/quickstart.gin --gin_file=runtimes/cpu.gin "$@"
