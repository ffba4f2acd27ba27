"""TensorFlow Datasets by name: 'tfds:c4/en:3.1.0', as prepared in a `data_dir`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

from codemix.checked import Path, checked
from codemix.data.raw.protocols import Piece, Reader
from codemix.data.raw.record import DAMAGED, BadRecord
from codemix.data.raw.storage import join
from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.errors import UserError, nearest

_SCHEME = 'tfds:'


@dataclasses.dataclass(frozen=True)
@checked
class Tfds(Reader):
  """Examples of datasets that TFDS has prepared; nothing is downloaded.

  `Corpus.files` names them: 'tfds:c4/en:3.1.0' for its split of the same name,
  'tfds:c4/en:3.1.0@train' for another one.

  Attributes:
    data_dir: where they were prepared; '' for TFDS's own default. A relative one is below
      `Corpus.root`.
  """

  stable_name, version = 'tfds', 1

  data_dir: Path = ''

  lists_files = False  # they are fixed by the dataset's version, and to ask for them imports TensorFlow

  def find(self, patterns: str | Sequence[str], root: str, split: str) -> list[str]:
    """The files of the splits. Raises UserError where there is no such dataset or split."""
    names = [patterns] if isinstance(patterns, str) else patterns
    folder = join(root, self.data_dir) if self.data_dir else ''
    return [
      str(file)
      for name in names
      for file in _split(*_name_and_split(name, split), folder).filepaths
    ]

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    with suppress_stderr():
      import tensorflow as tf

    number = 0
    try:
      for number, row in enumerate(_examples(piece.url), 1):
        yield f'{piece.url}:row {number}', _plain(row)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, tf.errors.FailedPreconditionError) as error:
      yield BadRecord(piece.url, DAMAGED, f'after row {number}: {error.message[:200]}', lost=None, after=number)


def _examples(file: str) -> Iterator[Mapping]:
  """The examples of one file of a dataset, read with the features that its folder describes."""
  with suppress_stderr():
    import tensorflow_datasets as tfds

  folder = file.rpartition('/')[0]
  try:
    builder = tfds.builder_from_directory(folder)
  except Exception as error:  # of TFDS, protobuf and json, by what is missing or damaged
    reason = str(error).partition('\n')[0]
    raise UserError(f'{folder} is not a whole dataset of TFDS ({reason}): copy the folder with its dataset_info.json and features.json, or prepare it again.') from None
  for split, info in builder.info.splits.items():
    shards = [str(path) for path in info.filepaths]
    if file in shards:
      shard = shards.index(file)
      if not info.shard_lengths[shard]:
        return iter(())
      one = tfds.core.ReadInstruction(split, from_=shard, to=shard + 1, unit='shard')
      config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
      return iter(tfds.as_numpy(builder.as_dataset(split=one, read_config=config)))
  raise UserError(f"'{file}' belongs to no split of the dataset in its folder")


def _plain(value: object) -> object:
  """Numpy's scalars and arrays as Python's."""
  if isinstance(value, Mapping):
    return {name: _plain(inner) for name, inner in value.items()}
  return value.tolist() if hasattr(value, 'tolist') else value


def _name_and_split(name: str, split: str) -> tuple[str, str]:
  if not name.startswith(_SCHEME):
    raise UserError(f"'{name}' is not the name of a TFDS dataset: write it as 'tfds:c4/en:3.1.0'")
  dataset, _, own = name.removeprefix(_SCHEME).partition('@')
  return dataset, own or split


@functools.lru_cache(maxsize=64)
def _builder(dataset: str, data_dir: str):
  with suppress_stderr():
    import tensorflow  # noqa: F401 (which tensorflow_datasets would import later, and aloud)
    import tensorflow_datasets as tfds

  # Built from the files in the folder: the dataset's own code need not be installed or trusted.
  try:
    return tfds.core.read_only_builder.builder_from_files(dataset, data_dir=data_dir or None)
  except tfds.core.DatasetNotFoundError:
    where = data_dir or tfds.core.constants.DATA_DIR
    raise UserError(
      f"'{_SCHEME}{dataset}' is not prepared in {where}. Name its folder in Tfds.data_dir, or prepare it there with `tfds build {dataset}`."
    ) from None


def _split(dataset: str, split: str, data_dir: str):
  splits = _builder(dataset, data_dir).info.splits
  if split not in splits:
    raise UserError(
      f"'{_SCHEME}{dataset}' has no split '{split}', only {', '.join(splits)}.{nearest(split, splits)}"
    )
  return splits[split]
