"""A dataset as TFDS leaves it on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def write(folder: Path, dataset: str, split: str, features, examples: Sequence[dict], version: str = '1.0.0') -> None:
  """Writes the examples as one shard of `dataset`, such as 'ai2_arc/ARC-Easy', below `folder`."""
  import tensorflow as tf

  name, _, config = dataset.partition('/')
  made = folder / dataset / version
  made.mkdir(parents=True)
  features.save_config(str(made))
  about = {'name': split, 'shardLengths': [str(len(examples))], 'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}', 'numBytes': '99'}
  info = {'name': name, 'configName': config, 'moduleName': name, 'version': version, 'fileFormat': 'tfrecord', 'splits': [about]}
  (made / 'dataset_info.json').write_text(json.dumps(info))
  with tf.io.TFRecordWriter(str(made / f'{name}-{split}.tfrecord-00000-of-00001')) as writer:
    for example in examples:
      writer.write(features.serialize_example(features.encode_example(example)))
