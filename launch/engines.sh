#!/usr/bin/env bash
# Makes .venv-peers/xpk and .venv-peers/skypilot: the engines behind `codemix launch`, which tests/launch/test_engines.py asks
# whether they accept what it hands over. xpk's has the schema of JobSets too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
codemix_peer xpk "xpk==1.16.0 kubeflow-trainer-api==2.3.0"
codemix_peer skypilot "skypilot==0.14.1"
