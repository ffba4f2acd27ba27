"""`python -m tests.studies.failing_code WORDS` is `codemix WORDS` in which each stage of code alone fails at its second step."""

from __future__ import annotations

import sys
import types

import codemix.cli
from tests import spoiled

if __name__ == '__main__':
  spoiled.spoil(types.SimpleNamespace(setattr=setattr), {2: spoiled.NAN}, of=lambda rows: rows.names == ['code'])
  sys.exit(codemix.cli.main(sys.argv[1:]))
