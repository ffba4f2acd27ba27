"""Texts of released evaluation sets that benchmarks measure with, if the sets are on this machine."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path

from codemix.data.evaluation_sets.folder import VARIABLE

SHARED = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'eval'  # beside the project


def released_rows(name: str) -> list[Mapping] | None:
  """The rows of a .jsonl.gz file below $CODEMIX_EVAL_DIR or else the shared folder; None if neither has it."""
  folders = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
  path = next((folder / name for folder in (*folders, SHARED) if (folder / name).is_file()), None)
  if path is None:
    return None
  return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
