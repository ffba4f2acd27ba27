# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh: makes .venv where there is none and installs codemix into it.
# Usage: codemix_environment "" | "dev"   (the extra to install)

codemix_environment() {
  local extra=$1 python stamp
  if [ ! -x .venv/bin/python ]; then
    python=$(codemix_python) || return 1
    echo "making .venv with $("$python" --version)"
    "$python" -m venv .venv || {
      echo "could not make .venv; on Debian or Ubuntu: apt install python3-venv" >&2
      return 1
    }
  fi
  # Installed again only when what is to be installed has changed.
  stamp=.venv/.codemix-${extra:-base}-$(cat pyproject.toml setup.py constraints.txt launch/environment.sh | cksum | tr ' ' '-')
  if [ ! -e "$stamp" ]; then
    echo "installing codemix${extra:+ with its $extra extra} (about a minute)"
    # By a path entry: setuptools' other way loses to a folder `codemix` beside a user's program, such as this checkout.
    .venv/bin/python -m pip install -qq --disable-pip-version-check --config-settings editable_mode=compat \
      --constraint constraints.txt --editable ".${extra:+[$extra]}" || return 1
    touch "$stamp"
  fi
}

# Makes .venv-peers/NAME with the packages of others, beside codemix's own environment; one that is there already is kept.
# Usage: codemix_peer NAME "REQUIREMENT ..." ...   (each word is one pip install: a later one may need an earlier one)
codemix_peer() {
  local folder=.venv-peers/$1 part python=.venv/bin/python requirements words
  shift
  if [ -e "$folder/bin/python" ]; then
    return
  fi
  [ -x "$python" ] || python=$(codemix_python) || return 1
  part=$folder.part
  rm -rf "$part"
  mkdir -p .venv-peers
  echo "making $folder (some minutes)"
  "$python" -m venv "$part" || return 1
  for requirements in "$@"; do
    read -ra words <<<"$requirements"
    "$part/bin/python" -m pip install -qq --disable-pip-version-check "${words[@]}" || return 1
  done
  # Renamed when it is whole. Programs in its bin/ keep the old path; `bin/python` and `bin/python -m` are used.
  mv "$part" "$folder"
}

# The newest Python that codemix supports.
codemix_python() {
  local name
  for name in ${CODEMIX_PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "codemix wants Python 3.11, 3.12 or 3.13 on the PATH (or named by CODEMIX_PYTHON)" >&2
  return 1
}
