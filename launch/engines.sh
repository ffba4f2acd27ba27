#!/usr/bin/env bash
# Makes .venv-peers/xpk and .venv-peers/skypilot: the engines behind `codemix launch`, which tests/launch/test_engines.py asks
# whether they accept what it hands over. xpk's has the schema of JobSets too. An environment that is there already is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

make_engine() {
  local folder=.venv-peers/$1 part
  shift
  if [ -e "$folder/bin/python" ]; then
    return
  fi
  part=$folder.part
  rm -rf "$part"
  echo "making $folder (a minute or two)"
  "$engine_python" -m venv "$part"
  "$part/bin/python" -m pip install -qq --disable-pip-version-check "$@"
  # Renamed when it is whole. Programs in its bin/ keep the old path; `bin/python -m` is used.
  mv "$part" "$folder"
}

engine_python=.venv/bin/python
[ -x "$engine_python" ] || engine_python=$(codemix_python)
mkdir -p .venv-peers
make_engine xpk "xpk==1.16.0" "kubeflow-trainer-api==2.3.0"
make_engine skypilot "skypilot==0.14.1"
