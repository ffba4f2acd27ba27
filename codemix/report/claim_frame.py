"""The claims of a study as a pandas frame: `claims.csv`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.report.claims import Judged, judge_claims
from codemix.report.comparison import measures_by_source
from codemix.report.results import read_study
from codemix.report.suite import gather_suite

if TYPE_CHECKING:
  import pandas as pd

COLUMNS = (
  'claim', 'sentence', 'verdict', 'arm', 'against', 'metric', 'stage', 'expected', 'margin', 'unit', 'found', 'low', 'high', 'level', 'p', 'corrected_for',
  'noise', 'seeds', 'seeds_against', 'status', 'registered', 'withdrawn', 'hash', 'notes',
)  # fmt: skip


def load_claims(study_dir: Path | str) -> pd.DataFrame:
  """The claims of a study with their verdicts, as in claims.csv: a row for each claim, also withdrawn ones.

  Raises UserError if the folder is not that of a study, a file of it is damaged, or the registrations of claims were changed.
  """
  study = read_study(study_dir)
  return claim_frame(judge_claims(study, measures_by_source(study), gather_suite(study)))


def claim_frame(claims: Sequence[Judged]) -> pd.DataFrame:
  """Columns: `found` is arm - against in `unit`, with the ends of its interval of `level`; `p` is that of the verdict, corrected for
  `corrected_for` claims; `stage` the place of the arm's stage, from 1; `noise` what the interval holds; `status` 'before the run',
  'exploratory' or 'withdrawn'.
  """
  import pandas as pd

  frame = pd.DataFrame([_line(claim) for claim in claims], columns=list(COLUMNS))
  return frame.astype(dict.fromkeys(('stage', 'corrected_for', 'seeds', 'seeds_against'), 'Int64'))


def _line(claim: Judged) -> tuple:
  said, found, tested = claim.said, claim.difference, claim.tested
  return (
    claim.name, said['sentence'], claim.verdict, claim.arm, claim.against, said['metric'], claim.registered.claim['own']['stage'],
    said['expected'], said['margin'], claim.unit, *((found.value, tested.low, tested.high, tested.level) if found else (math.nan,) * 4), claim.p,
    claim.corrected_for, found.noise if found else None, len(found.own_figures) if found else 0, len(found.base_figures) if found else 0,
    claim.status, claim.registered.registered, claim.registered.withdrawn, claim.registered.hash, '; '.join(claim.notes),
  )  # fmt: skip
