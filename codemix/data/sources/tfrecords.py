"""TFRecord files of tf.train.Example."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from codemix.checked import checked
from codemix.data.quiet import silent_import
from codemix.data.sources.reading import Piece, Reader
from codemix.data.sources.record import BadRecord
from codemix.errors import UserError


@dataclasses.dataclass(frozen=True)
@checked
class TFRecords(Reader):
  """Examples by feature: one value as itself, several as a list; gzip by the ending `.gz`.

  TensorFlow reads them, and checks their CRCs: local paths and gs://, not the other file systems
  of fsspec. What follows a broken record cannot be found: the rest of its file is set aside.
  """

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    with silent_import():  # takes seconds
      import tensorflow as tf

    compression = 'GZIP' if piece.url.endswith('.gz') else ''
    examples = tf.data.TFRecordDataset(piece.url, compression).as_numpy_iterator()
    number = 0
    try:
      for number, stored in enumerate(examples, 1):
        yield _row(f'{piece.url}:row {number}', stored)
    except (tf.errors.NotFoundError, tf.errors.UnimplementedError, tf.errors.PermissionDeniedError) as error:
      raise UserError(f"'{piece.url}' cannot be read: {error.message}") from None
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError) as error:
      yield BadRecord(piece.url, 'damaged file', f'after row {number}: {error.message[:200]}')


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
