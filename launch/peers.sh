#!/usr/bin/env bash
# Makes .venv-peers/transformers4 and .venv-peers/transformers5, with torch for CPUs: what the tests compare codemix with.
# codemix itself needs neither. An environment that is there already is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

make_peer() {
  local folder=.venv-peers/$1 part
  shift
  if [ -e "$folder/bin/python" ]; then
    return
  fi
  part=$folder.part
  rm -rf "$part"
  echo "making $folder (some minutes)"
  "$peer_python" -m venv "$part"
  # torch first, at the version that the comparison was made with.
  "$part/bin/python" -m pip install -qq --disable-pip-version-check "torch==2.13.0"
  "$part/bin/python" -m pip install -qq --disable-pip-version-check "$@"
  # Renamed when it is whole. Programs in its bin/ keep the old path; `bin/python` and `bin/python -m` are used.
  mv "$part" "$folder"
}

# The Python of codemix's own environment, if it is there.
peer_python=.venv/bin/python
[ -x "$peer_python" ] || peer_python=$(codemix_python)
mkdir -p .venv-peers
make_peer transformers4 "transformers>=4.50,<5" safetensors
make_peer transformers5 "transformers>=5,<6" "lm-eval[hf]>=0.4.9,<0.5" safetensors
