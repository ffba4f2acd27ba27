"""TFRecord files of tf.train.Example."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

from codemix.checked import checked
from codemix.data.raw.compression import Damaged
from codemix.data.raw.damage import EMPTY, damaged, foreign, lost_records
from codemix.data.raw.protocols import Piece, Reader
from codemix.data.raw.record import DAMAGED, BadRecord
from codemix.data.raw.storage import BLOCK_BYTES, open_raw
from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.errors import UserError

_FRAME_BYTES = 16  # around each record: its length and two CRCs


@dataclasses.dataclass(frozen=True)
@checked
class TFRecords(Reader):
  """Examples by feature: one value as itself, several as a list; gzip by the ending `.gz`.

  TensorFlow reads them, and checks their CRCs: local paths and gs://, not the other file systems
  of fsspec. What follows a broken record cannot be found: the rest of its file is set aside.
  """

  stable_name, version = 'tfrecords', 1

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    with suppress_stderr():  # takes seconds
      import tensorflow as tf

    if other := foreign(piece.url):
      yield other
      return
    compression = 'GZIP' if piece.url.endswith('.gz') else ''
    examples = tf.data.TFRecordDataset(os.fsencode(piece.url), compression).as_numpy_iterator()
    number = read = 0
    try:
      for number, stored in enumerate(examples, 1):
        read += len(stored) + _FRAME_BYTES
        yield _row(f'{piece.url}:row {number}', stored)
    except (tf.errors.NotFoundError, tf.errors.UnimplementedError, tf.errors.PermissionDeniedError) as error:
      raise UserError(f"'{piece.url}' cannot be read: {error.message}") from None
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError) as error:
      yield self._damage(piece.url, number, read, error.message)
    else:
      # TensorFlow reads a record that is cut as the end of the file.
      if cut := self._damage(piece.url, number, read, ''):
        yield cut
      elif not number:
        yield BadRecord(piece.url, EMPTY, 'there is nothing in it', expected=True)

  def _damage(self, url: str, number: int, read: int, message: str) -> BadRecord | None:
    """What a file lost: where it is broken, as many records to a byte as were read; where it is cut, an unknown number.

    Args:
      url: the file.
      number: records that were read.
      read: bytes of them.
      message: TensorFlow's error; '' where there is none, and the length shows the damage.
    """
    where = f'after row {number:,}, byte {read:,} of its records'
    try:
      left = _length(url) - read
    except Damaged as error:
      return damaged(url, error, number, where)
    if not message:
      return BadRecord(url, DAMAGED, f'{where}: it ends in the middle of a record', lost=None, after=number) if left > 0 else None
    lost = lost_records(number, left / read) if number and left > 0 and 'truncated' not in message else None
    return BadRecord(url, DAMAGED, f'{where}: {message[:200]}', lost=lost, after=number)


def _length(url: str) -> int:
  """Bytes of the contents of a file."""
  with open_raw(url) as file:
    return sum(map(len, iter(lambda: file.read1(BLOCK_BYTES), b'')))


def _row(place: str, stored: bytes) -> tuple[str, Mapping] | BadRecord:
  import tensorflow as tf
  from google.protobuf.message import DecodeError

  try:
    features = tf.train.Example.FromString(stored).features.feature
  except DecodeError as error:
    return BadRecord(place, 'not an Example', str(error)[:200])
  return place, {name: _value(feature) for name, feature in sorted(features.items())}


def _value(feature) -> object:
  kind = feature.WhichOneof('kind')
  values = list(getattr(feature, kind).value) if kind else []
  return values[0] if len(values) == 1 else values
