"""The files of a study that its report is computed from, with their digests.

They are listed by their names, not by watching what is read, so that a file that is gone, or was added, is seen as well.
`tests/report/test_report_record.py` watches what is read, and requires that all of it is here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.evaluation.results import FOLDER as EVALUATION
from codemix.storage import is_file_name, read_json
from codemix.studies.failures import FOLDER as FAILED
from codemix.training.sealed_files import content_of

STUDY = 'study.json'
STAGES = 'stages'
LOGS = ('metrics.jsonl', 'timing.jsonl', 'time.jsonl')  # which grow while a stage trains
_OF_STUDY = (STUDY, 'claims.json', 'contamination.json')
_OF_STAGE = ('stage.json', 'done.json', 'plan.json', 'rate.csv', 'ledger.json', *LOGS)
_EARLIER = ('evaluation.json', 'samples.json')  # of earlier versions
_SUFFIXES = ('.json', '.parquet', '.npz')  # of results


@dataclasses.dataclass(frozen=True)
class FileContent:
  """What a file held. Of lines in parts, as in a bucket, all of them together."""

  sha256: str
  bytes: int

  @classmethod
  def of(cls, data: bytes) -> FileContent:
    return cls(hashlib.sha256(data).hexdigest(), len(data))


def read_inputs(study_dir: Path, also: Sequence[str] = (), study_file: Path | None = None) -> dict[str, FileContent]:
  """Every file, by its path in the study's folder, that the report of the study is computed from, as it is now.

  A damaged file is listed as any other: what is wrong with it, whoever reads it says.

  Args:
    also: further folders of stages.
    study_file: the `study.json`, if it is not the one of the folder.
  """
  found = {}
  study_file = study_file or study_dir / STUDY
  for name in _names(study_dir, dict.fromkeys([*stages_of(study_file), *also])):
    with contextlib.suppress(FileNotFoundError):  # it was there a moment ago
      data = content_of(study_file if name == STUDY else study_dir / name)
      if data is not None:
        found[name] = FileContent.of(data)
  return found


def stages_of(study_file: Path) -> list[str]:
  """The folders of the stages that a `study.json` names, in order; [] if it is damaged."""
  with contextlib.suppress(UserError):
    recipes = read_json(study_file).get('recipes')
    named = [stage for recipe in _objects(recipes) if isinstance(recipe.get('stages'), list) for stage in recipe['stages']]
    return list(dict.fromkeys(stage for stage in named if isinstance(stage, str) and is_file_name(stage)))
  return []


def _objects(value: Any) -> list[dict]:
  return [each for each in value.values() if isinstance(each, dict)] if isinstance(value, dict) else []


def _names(study_dir: Path, stages: Sequence[str]) -> Iterator[str]:
  yield from _OF_STUDY
  for stage in stages:
    yield from (f'{FAILED}/{kind}/{stage}.json' for kind in ('train', 'evaluate'))
    yield from (f'{STAGES}/{stage}/{name}' for name in (*_OF_STAGE, *_EARLIER))
    results = study_dir / STAGES / stage / EVALUATION
    yield from sorted(str(path.relative_to(study_dir)) for path in results.rglob('*') if path.suffix in _SUFFIXES and not path.name.startswith('.'))
