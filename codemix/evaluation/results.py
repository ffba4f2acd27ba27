"""Results of evaluators: scores in `evaluation/NAME.json`, items in `evaluation/NAME.parquet`.

The results of a checkpoint before the stage's end are in `evaluation/steps/STEP/`, STEP being that of the run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codemix.errors import UserError
from codemix.identity import as_read, digest, file_digest
from codemix.storage import read_json, require_form, write_bytes, write_json

FOLDER = 'evaluation'  # in a stage's folder
STEPS = 'steps'  # in FOLDER
HELD_OUT_PREFIX = 'held_out/'  # of the evaluator's name, before the source
SAMPLES = 'samples'  # the evaluator that runs last

_PACKAGES = ('codemix', 'jax', 'numpy')
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
    items: columns by name, each with one entry per item: an array, or a sequence of texts or of lists.
    samples: texts of the model: {'prompt', 'method', 'text'} each.
  """

  scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
  items: Mapping[str, np.ndarray | Sequence] = dataclasses.field(default_factory=dict)
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

  @property
  def is_whole(self) -> bool:
    """Whether the items are those that were stored with the scores."""
    return self.items_digest is None or (self.path.is_file() and file_digest(self.path) == self.items_digest)

  def items(self, columns: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The columns of `Results.items`; empty if the file is missing. Texts and lists are arrays of objects.

    Raises UserError if the file is damaged or belongs to other scores.

    Args:
      columns: of a parquet file, those to read if they are there; None for all.
    """
    try:
      content = self.path.read_bytes()  # once: a study has thousands of these files
    except (FileNotFoundError, IsADirectoryError):
      return {}
    if self.items_digest is not None and hashlib.sha256(content).hexdigest() != self.items_digest:
      raise self._error('is damaged (its digest has changed)')
    try:
      arrays = _read_parquet(content, columns) if self.path.suffix == '.parquet' else _read_npz(content)
    except Exception as error:  # zipfile, zlib and NumPy each have errors of their own
      raise self._error(f'is damaged ({" ".join(str(error).split())})') from None
    if self.items_digest is None:  # nothing else says that the two files belong together
      for name in ('nats', 'tokens', 'bytes'):
        if name not in self.scores:
          raise self._error('has no digest in it')
        if name not in arrays or arrays[name].dtype.kind not in 'fiu' or not np.isclose(arrays[name].sum(), self.scores[name], rtol=1e-6):
          raise self._error(f'does not add up to the {self.scores[name]:.10g} {name} of its scores')
    return arrays

  def _error(self, what: str) -> UserError:
    return UserError(f'{self.path} {what}. Delete {self.record} to evaluate the stage again.')


def split_shots(name: str) -> tuple[str, int]:
  """The name of a benchmark's results, 'piqa-5shot', into the benchmark and its number of examples: ('piqa', 5)."""
  found = re.fullmatch(r'(.+)-(\d+)shot', name)
  return (found[1], int(found[2])) if found else (name, 0)


def results_folder(stage_folder: Path, step: int | None = None) -> Path:
  """Where the results of a checkpoint are.

  Args:
    step: of the run; None for the checkpoint at the end of the stage.
  """
  folder = stage_folder / FOLDER
  return folder if step is None else folder / STEPS / f'{step:08d}'


def write_results(
  stage_folder: Path, name: str, step: int, identity: Mapping[str, Any], results: Results, before_end: bool = False
) -> None:
  """Stores the results of one evaluator, the scores last.

  Args:
    name: of the evaluator.
    step: of the run, at which the checkpoint was saved.
    identity: all that decides the results, the digest of the checkpoint included.
    before_end: whether the checkpoint is one before the end of the stage.
  """
  path = results_folder(stage_folder, step if before_end else None) / f'{name}.json'
  record = {'step': step, 'identity': identity, 'scores': results.scores, 'samples': list(results.samples)}
  if results.items:
    write_bytes(path.with_suffix('.parquet'), _parquet(results.items))
    record['items'] = file_digest(path.with_suffix('.parquet'))
  record['versions'] = {package: importlib.metadata.version(package) for package in _PACKAGES}
  write_json(path, {**record, 'digest': record_digest(record)})


def record_digest(record: Mapping[str, Any]) -> str:
  """The digest of all that the JSON file of some results says; the file has it as `digest`."""
  return digest(as_read({key: value for key, value in record.items() if key != 'digest'}))


def read_results(stage_folder: Path, step: int | None = None) -> dict[str, StoredResults]:
  """The results of one checkpoint by evaluator name; those of a stage's end also of earlier versions.

  Raises UserError if one of the JSON files is damaged, or says something else than when it was written.

  Args:
    step: of the run; None for the checkpoint at the end of the stage.
  """
  folder = results_folder(stage_folder, step)
  there = sorted(folder.rglob('*'))
  files = set(map(str, there))
  paths = {str(path.relative_to(folder)).removesuffix('.json'): path for path in there if path.suffix == '.json'}
  at_steps = f'{STEPS}/'
  found = {name: _read(path, name, files) for name, path in paths.items() if step is not None or not name.startswith(at_steps)}
  return found if step is not None else {**_read_earlier(stage_folder), **found}


def evaluated_steps(stage_folder: Path) -> list[int]:
  """The steps before the stage's end with results, ascending."""
  return sorted(int(folder.name) for folder in (stage_folder / FOLDER / STEPS).glob('*') if folder.name.isdecimal())


def _parquet(items: Mapping[str, np.ndarray | Sequence]) -> bytes:
  import pyarrow as pa
  import pyarrow.parquet as pq

  buffer = io.BytesIO()
  pq.write_table(pa.table({name: pa.array(column) for name, column in items.items()}), buffer)
  return buffer.getvalue()


def _read_npz(content: bytes) -> dict[str, np.ndarray]:
  with np.load(io.BytesIO(content)) as file:
    return dict(file)


def _read_parquet(content: bytes, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
  import pyarrow as pa
  import pyarrow.parquet as pq

  with pq.ParquetFile(pa.BufferReader(content)) as file:
    names = file.schema_arrow.names
    # Threads take longer to start than a file of items to read.
    table = file.read([name for name in names if columns is None or name in columns], use_threads=False)
  return {name: table[name].to_numpy() for name in table.column_names}


def of_held_out(stored: Mapping[str, StoredResults]) -> dict[str, StoredResults]:
  """The results on held-out splits, by source."""
  return {name.removeprefix(HELD_OUT_PREFIX): found for name, found in stored.items() if name.startswith(HELD_OUT_PREFIX)}


def _read(path: Path, name: str, files: Container[str]) -> StoredResults:
  """The results of an evaluator; `files` are those of the folder."""
  record = read_json(path, _STORED, _AGAIN)
  if name.startswith(HELD_OUT_PREFIX):
    require_form(record['scores'], _SPLIT, path, _AGAIN)
  for key in ('items', 'digest'):
    require_form(record.get(key), str | None, path, _AGAIN)
  known = record.get('digest')  # earlier versions wrote none
  if known is not None and known != digest({key: value for key, value in record.items() if key != 'digest'}):
    raise UserError(f'{path} was changed after it was written: its digest is not that of its content. Restore it, or delete it to evaluate the stage again.')
  fields = (record[key] for key in ('step', 'identity', 'scores', 'samples'))
  items = next((found for suffix in ('.parquet', '.npz') if str(found := path.with_suffix(suffix)) in files), path.with_suffix('.parquet'))
  return StoredResults(*fields, path, items, record.get('items'))


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
