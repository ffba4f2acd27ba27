#!/usr/bin/env bash
# Installs codemix into .venv and runs the quickstart study: five recipes of text and code, three stages each,
# on two CPU cores in a few minutes. Run again, it goes on where it was; when all is done, it takes seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
codemix_environment ""
export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
export CODEMIX_DATA_DIR=${CODEMIX_DATA_DIR:-$PWD/runs/data}
# For --gin_file=evaluations/real_sets.gin: the folder beside the project, if there is one.
if [[ -z ${CODEMIX_EVAL_DIR:-} && -d ../shared/data/eval ]]; then
  export CODEMIX_EVAL_DIR=$PWD/../shared/data/eval
fi
exec .venv/bin/codemix study \
  --gin_file=studies/quickstart.gin --gin_file=runtimes/cpu.gin "$@"
