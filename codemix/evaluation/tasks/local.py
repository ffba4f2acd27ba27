"""Benchmarks made of the Python installation, which need no file: the quickstart ends with them."""

from __future__ import annotations

from codemix.data.settings import local_corpora
from codemix.evaluation.tasks.coding import Coding
from codemix.evaluation.tasks.coding_problems import Ends
from codemix.evaluation.tasks.coding_programs import tested
from codemix.evaluation.tasks.local_items import (
  LocalPrograms,
  LocalSource,
  body_pairs,
  passage_pairs,
)
from codemix.evaluation.tasks.multiple_choice import PER_BYTE, MultipleChoice
from codemix.models.decoding import Decoding

TASKS: tuple[MultipleChoice | Coding, ...] = (
  MultipleChoice('local_passages', LocalSource('local_text', passage_pairs, local_corpora), PER_BYTE),
  MultipleChoice('local_bodies', LocalSource('local_code', body_pairs, local_corpora), PER_BYTE),
  Coding('local_programs', LocalPrograms(), tested, Ends(('\n',)), Decoding(max_new_tokens=16), without_sandbox=True),
)
