"""Results of evaluators: scores in `evaluation/NAME.json`, items in `evaluation/NAME.npz`."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codemix.errors import UserError
from codemix.files import read_json, require_form, write_bytes, write_json
from codemix.identity import file_digest

FOLDER = 'evaluation'  # in a stage's folder
HELD_OUT_PREFIX = 'held_out/'  # of the evaluator's name, before the source
SAMPLES = 'samples'  # the evaluator that runs last

_AGAIN = 'Delete it to evaluate the stage again.'
_SAMPLE = {'prompt': str, 'method': str, 'text': str}
_STORED = {'step': int, 'identity': dict, 'scores': {...: float}, 'samples': [_SAMPLE]}
_EARLIER_IDENTITY = {'checkpoint': str, 'sources': {...: str}, 'documents': {...: int}}
_SPLIT = {'documents': int, 'tokens': int, 'bytes': int, 'nats': float, 'bits_per_byte': float}


@dataclasses.dataclass(frozen=True)
class Results:
  """What an evaluator returns.

  Attributes:
    scores: numbers by name.
    items: arrays by name, each with one entry per item.
    samples: texts of the model: {'prompt', 'method', 'text'} each.
  """

  scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
  items: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  samples: Sequence[Mapping[str, str]] = ()


@dataclasses.dataclass(frozen=True)
class StoredResults:
  """Results of one evaluator, read from a stage's folder.

  Attributes:
    step: of the run, at which the checkpoint was saved.
    identity: all that decides the results, the digest of the checkpoint included.
    scores, samples: as of `Results`.
    record: the JSON file that these are read from.
    path: the file with the items; it need not exist.
    items_digest: sha256 of that file; None where an earlier codemix wrote it.
  """

  step: int
  identity: Mapping[str, Any]
  scores: Mapping[str, float]
  samples: Sequence[Mapping[str, str]]
  record: Path
  path: Path
  items_digest: str | None

  def items(self) -> dict[str, np.ndarray]:
    """The arrays of `Results.items`; empty if the file is missing.

    Raises UserError if the file is damaged or belongs to other scores.
    """
    if not self.path.is_file():
      return {}
    if self.items_digest is not None and file_digest(self.path) != self.items_digest:
      raise self._error('is damaged (its digest has changed)')
    try:
      with np.load(self.path) as file:
        arrays = dict(file)
    except Exception as error:  # zipfile, zlib and NumPy each have errors of their own
      raise self._error(f'is damaged ({error})') from None
    if self.items_digest is None:  # nothing else says that the two files belong together
      for name in ('nats', 'tokens', 'bytes'):
        if name not in arrays or arrays[name].dtype.kind not in 'fiu' or not np.isclose(arrays[name].sum(), self.scores[name], rtol=1e-6):
          raise self._error(f'does not add up to the {self.scores[name]:.10g} {name} of its scores')
    return arrays

  def _error(self, what: str) -> UserError:
    return UserError(f'{self.path} {what}. Delete {self.record} to evaluate the stage again.')


def write_results(stage_folder: Path, name: str, step: int, identity: Mapping[str, Any], results: Results) -> None:
  """Stores the results of one evaluator, the scores last.

  Args:
    name: of the evaluator.
    step: of the run, at which the checkpoint was saved.
    identity: all that decides the results, the digest of the checkpoint included.
  """
  path = stage_folder / FOLDER / f'{name}.json'
  record = {'step': step, 'identity': identity, 'scores': results.scores, 'samples': list(results.samples)}
  if results.items:
    buffer = io.BytesIO()
    np.savez(buffer, **results.items)
    write_bytes(path.with_suffix('.npz'), buffer.getvalue())
    record['items'] = file_digest(path.with_suffix('.npz'))
  write_json(path, record)


def read_results(stage_folder: Path) -> dict[str, StoredResults]:
  """The results in a stage's folder by evaluator name, also those of earlier versions.

  Raises UserError if one of the JSON files is damaged.
  """
  folder = stage_folder / FOLDER
  paths = {str(path.relative_to(folder).with_suffix('')): path for path in sorted(folder.rglob('*.json'))}
  return {**_read_earlier(stage_folder), **{name: _read(path, name) for name, path in paths.items()}}


def of_held_out(stored: Mapping[str, StoredResults]) -> dict[str, StoredResults]:
  """The results on held-out splits, by source."""
  return {name.removeprefix(HELD_OUT_PREFIX): found for name, found in stored.items() if name.startswith(HELD_OUT_PREFIX)}


def _read(path: Path, name: str) -> StoredResults:
  record = read_json(path, _STORED, _AGAIN)
  if name.startswith(HELD_OUT_PREFIX):
    require_form(record['scores'], _SPLIT, path, _AGAIN)
  fields = (record[key] for key in ('step', 'identity', 'scores', 'samples'))
  return StoredResults(*fields, path, path.with_suffix('.npz'), record.get('items'))


def _read_earlier(stage_folder: Path) -> dict[str, StoredResults]:
  """Older results: `evaluation.json`, `evaluation/SOURCE.npz`, `samples.json`."""
  path = stage_folder / 'evaluation.json'
  if not path.exists():
    return {}
  record = read_json(path, {'sources': {...: _SPLIT}}, _AGAIN)
  found = record.get('identity', {})
  require_form(found, {key: form for key, form in _EARLIER_IDENTITY.items() if key in found}, path, _AGAIN)
  common, parts = {'checkpoint': found.get('checkpoint'), 'version': 1}, found.get('documents', {})
  results = {}
  for source, scores in record['sources'].items():
    documents = {'documents': parts[source]} if source in parts else {}
    identity = {**common, 'store': found.get('sources', {}).get(source), **documents}
    arrays = stage_folder / FOLDER / f'{source}.npz'
    results[f'{HELD_OUT_PREFIX}{source}'] = StoredResults(record.get('step', 0), identity, scores, (), path, arrays, None)
  samples = stage_folder / 'samples.json'
  texts = read_json(samples, [_SAMPLE], _AGAIN) if samples.exists() else []
  seed = read_json(stage_folder / 'stage.json', {'identity': dict})['identity'].get('seed') if found else None
  identity = {**common, 'prompts': found.get('prompts'), 'tokens': found.get('sample_tokens'), 'seed': seed}
  results[SAMPLES] = StoredResults(record.get('step', 0), identity, {}, texts, path, stage_folder / FOLDER / 'samples.npz', None)
  return results
