"""SeqIO tasks over files of JSON lines: `local_text`, `local_code`, and a user's own.

    register_jsonl_task('novels', {'train': 'novels-*.jsonl.gz', 'validation': 'held-out.jsonl'})

Each task gives the feature `targets` in bytes, with EOS; `codemix prepare`, or
`task.replace(output_features=...)`, puts another vocabulary in its place.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import seqio
import tensorflow as tf

from codemix.data.corpora import LocalCorpora, Record, build_local_corpora
from codemix.data.corpora.store import SPLITS
from codemix.data.settings import default_directory
from codemix.data.tokenizer import load_tokenizer
from codemix.data.vocabularies import TokenizerVocabulary
from codemix.errors import UserError, nearest


def corpora_directory() -> Path:
  """Where `local_text` and `local_code` lie: in `$CODEMIX_DATA_DIR`, else in the user's cache."""
  return default_directory() / 'corpora'


def local_corpora() -> LocalCorpora:
  """The corpora in `corpora_directory()`; the first call ever takes about 25 seconds to build them."""
  return build_local_corpora(corpora_directory())


class JsonLinesDataSource(seqio.FileDataSource):
  """Records from files of JSON lines, plain or gzip (`.gz`): a string for each named field.

  It shards by file where there are enough files, else by line.
  """

  def __init__(
    self,
    split_to_filepattern: Mapping[str, str | Sequence[str]],
    fields: Sequence[str] = ('text',),
  ):
    self._fields = tuple(fields)
    super().__init__(_numbered_lines, split_to_filepattern)

  @property
  def supports_arbitrary_sharding(self) -> bool:
    return True

  def list_shards(self, split: str) -> Sequence[str]:
    """The files of a split, sorted.

    Raises:
      UserError: there are none.
    """
    files = sorted(super().list_shards(split))
    if not files:
      pattern = self._split_to_filepattern[split]
      raise UserError(f"no file matches {pattern!r}, of which the split '{split}' should be made")
    return files

  def get_dataset(
    self,
    split: str = 'train',
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
    **unused,
  ) -> tf.data.Dataset:
    """Records of a split, as scalar strings by field; `shuffle` is of the files.

    Raises:
      UserError: there is no file, or the first line of the first one is not such a record.
        Another line that is none ends the reading with a tf.errors.OpError that names it.
    """
    files = self.list_shards(split)
    _require_record(files[0], self._fields)
    by_file = shard_info is not None and shard_info.num_shards <= len(files)
    lines = super().get_dataset(split, shuffle, seed, shard_info if by_file else None)
    if shard_info is not None and not by_file:
      lines = lines.shard(shard_info.num_shards, shard_info.index)
    return lines.map(self._record, num_parallel_calls=tf.data.AUTOTUNE)

  def _record(self, file: tf.Tensor, number: tf.Tensor, line: tf.Tensor) -> dict[str, tf.Tensor]:
    values = tf.numpy_function(
      lambda *place_and_line: _parse(*place_and_line, self._fields),
      [file, number, line],
      [tf.string] * len(self._fields),
      stateful=False,
    )
    return {
      field: tf.ensure_shape(value, []) for field, value in zip(self._fields, values, strict=True)
    }


class LocalCorpusDataSource(JsonLinesDataSource):
  """A corpus made from the Python installation, built when it is first read."""

  def __init__(self, corpus: str):
    self._corpus = corpus
    super().__init__(dict.fromkeys(SPLITS, corpus), tuple(Record.__annotations__))

  def list_shards(self, split: str) -> Sequence[str]:
    return [str(local_corpora().corpora[self._corpus].splits[split].path)]

  def num_input_examples(self, split: str) -> int:
    return local_corpora().corpora[self._corpus].splits[split].documents


def _numbered_lines(file: tf.Tensor) -> tf.data.Dataset:
  """(file, line number from 1, line) of a file, whose name says whether it is compressed."""
  compression = tf.where(tf.strings.regex_full_match(file, r'.*\.gz'), 'GZIP', '')
  lines = tf.data.TextLineDataset(file, compression_type=compression).enumerate(start=1)
  return lines.map(lambda number, line: (file, number, line))


def _parse(file: bytes, number: int, line: bytes, fields: Sequence[str]) -> list[np.ndarray]:
  """The named fields of a JSON line, in UTF-8.

  Raises:
    UserError: it is no JSON object, or a field is missing or no string.
  """
  place = f'{file.decode()}:{number}'
  try:
    record = json.loads(line)
  except ValueError as error:
    raise UserError(f'{place} is no JSON: {error}') from error
  if not isinstance(record, dict):
    raise UserError(f'{place} is no JSON object with the field {fields[0]!r}')
  for field in fields:
    if not isinstance(record.get(field), str):
      has = ', '.join(sorted(record)) or 'none'
      raise UserError(
        f'{place} has no string {field!r}; its fields are {has}.{nearest(field, record)}'
      )
  return [np.array(record[field].encode(errors='replace'), object) for field in fields]


def _require_record(file: str, fields: Sequence[str]) -> None:
  """Raises UserError where a file does not begin with a record."""
  decompress = gzip.open if file.endswith('.gz') else contextlib.nullcontext
  try:
    with tf.io.gfile.GFile(file, 'rb') as stored, decompress(stored) as lines:
      line = lines.readline()
  except (OSError, EOFError, zlib.error) as error:  # what gzip raises for damaged files
    raise UserError(f'{file} cannot be read: {error}') from error
  if line:
    _parse(file.encode(), 1, line, fields)


def _targets() -> dict[str, seqio.Feature]:
  return {'targets': seqio.Feature(TokenizerVocabulary(load_tokenizer('bytes')), add_eos=True)}


def _register(name: str, source: seqio.DataSource, keys: Mapping[str, str]) -> seqio.Task:
  return seqio.TaskRegistry.add(
    name,
    source=source,
    preprocessors=[
      functools.partial(seqio.preprocessors.rekey, key_map=dict(keys)),
      seqio.preprocessors.tokenize,
      seqio.preprocessors.append_eos,
    ],
    output_features=_targets(),
    metric_fns=[],
  )


def register_jsonl_task(
  name: str, split_to_filepattern: Mapping[str, str | Sequence[str]], text_field: str = 'text'
) -> seqio.Task:
  """Registers a SeqIO task over JSON lines, plain or gzip, one document a line.

  Args:
    name: of the task, as mixtures name it.
    split_to_filepattern: of each split, a glob pattern, or several.
    text_field: the field that holds a document's text.

  Returns:
    The task. It gives `targets` and the text itself, `targets_pretokenized`.

  Raises:
    UserError: the name is taken. That files or fields are missing is found at the first read.
  """
  if name in seqio.TaskRegistry.names():
    raise UserError(f"a SeqIO task '{name}' is registered already: choose another name")
  source = JsonLinesDataSource(split_to_filepattern, [text_field])
  return _register(name, source, {'targets': text_field})


for _name in ('local_text', 'local_code'):
  _register(
    _name,
    LocalCorpusDataSource(_name),
    {'targets': 'text', 'source': 'source', 'language': 'language', 'id': 'id'},
  )
