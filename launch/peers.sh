#!/usr/bin/env bash
# Makes .venv-peers/transformers4 and .venv-peers/transformers5, with torch for CPUs: what the tests compare codemix with.
# codemix itself needs neither.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
# torch first, at the version that the comparison was made with.
codemix_peer transformers4 "torch==2.13.0" "transformers>=4.50,<5 safetensors"
codemix_peer transformers5 "torch==2.13.0" "transformers>=5,<6 lm-eval[hf]>=0.4.9,<0.5 safetensors"
