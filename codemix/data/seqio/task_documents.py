"""The documents of a SeqIO task as ids of the run's tokenizer, each of them checked.

A task that tokenizes with the vocabulary of its feature gets the run's tokenizer there. A task that
brings ids of its own is read only where the vocabulary that it declares is that tokenizer: a model
trained on ids of another tokenizer learns nonsense at plausible losses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator

import numpy as np
import seqio
import tensorflow as tf

from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError

FEATURE = 'targets'
VERSION = 2  # of this module, in stores' identities: raise it when other ids come out of the same examples
WHOLE = seqio.ShardInfo(0, 1)
_PROBE = 'def f(x):\n    return x + 1  # na\u00efve\n'


def check_feature(task: seqio.Task) -> None:
  """Raises UserError unless the task declares `targets` of rank 1 and an integer dtype."""
  if FEATURE not in task.output_features:
    raise UserError(
      f"the SeqIO task '{task.name}' has no output feature '{FEATURE}' (it has {', '.join(task.output_features)}); a decoder is trained on '{FEATURE}'."
    )
  feature = task.output_features[FEATURE]
  if feature.rank != 1:
    raise UserError(
      f"the SeqIO task '{task.name}' declares '{FEATURE}' of rank {feature.rank}; a document is one row of ids: give seqio.Feature(rank=1)."
    )
  if not tf.as_dtype(feature.dtype).is_integer:
    raise UserError(
      f"the SeqIO task '{task.name}' declares '{FEATURE}' of dtype {tf.as_dtype(feature.dtype).name}; ids are integers: give seqio.Feature(dtype=tf.int32)."
    )


def task_examples(task: seqio.Task, split: str, shard: seqio.ShardInfo) -> Iterator[dict]:
  """The task's examples as NumPy arrays, in their own order: untrimmed, unshuffled, once.

  Raises UserError: they are not what the task declares, or cannot be read.
  """
  try:
    # Each example is read once, so a cache in memory is of no use, and warns if the reading ends early.
    once = {'num_epochs': 1, 'use_cached': False, 'try_in_mem_cache': False}
    dataset = task.get_dataset(sequence_length=None, split=split, shuffle=False, shard_info=shard, **once)
  except ValueError as error:
    if not str(error).startswith('Task dataset '):
      raise
    raise UserError(f"{_named(task, split)}: {error}. Change its preprocessors, or its output_features.") from error
  with _readable(task, split):
    yield from dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def stream(task: seqio.Task, split: str, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
  """One epoch of a task: the ids of each document that has text, with EOS.

  Raises UserError as `task_documents`.
  """
  return (ids for ids, _ in task_documents(task, split, tokenizer, WHOLE) if len(ids) > 1)


def task_documents(
  task: seqio.Task, split: str, tokenizer: Tokenizer, shard: seqio.ShardInfo
) -> Iterator[tuple[np.ndarray, bytes]]:
  """Yields (ids that end with EOS, text before tokenization) of each document; an empty one is EOS alone.

  Raises UserError: the task's ids are not those of `tokenizer`, or it cannot be read.
  """
  ours = TokenizerVocabulary(tokenizer)
  declared = task.output_features[FEATURE]
  features = {**task.output_features, FEATURE: dataclasses.replace(declared, vocabulary=ours)}
  examples = task_examples(task.replace(output_features=features), split, shard)
  for number, example in enumerate(examples):
    if not (number or ours.has_encoded or _is_tokenizer(declared.vocabulary, tokenizer)):
      theirs = declared.vocabulary
      eos = '' if theirs.eos_id is None else f' (EOS {theirs.eos_id})'
      raise UserError(
        f"the SeqIO task '{task.name}' brings ids of its own, and declares for '{FEATURE}' {type(theirs).__name__} of {theirs.vocab_size:,} entries{eos}; the run's tokenizer is "
        f'{tokenizer.kind} of {tokenizer.vocab_size:,} entries (EOS {tokenizer.eos_id}). Let the task tokenize with seqio.preprocessors.tokenize, '
        'or set Data.tokenizer to the tokenizer that its ids are of, and declare it: seqio.Feature(TokenizerVocabulary(tokenizer)).'
      )
    place = f'{_named(task, split)}, document {number}{f" of shard {shard.index}" if shard.num_shards > 1 else ""}'
    ids = _checked(example[FEATURE], tokenizer, place)
    text = example.get(f'{FEATURE}_pretokenized')
    yield ids, text if isinstance(text, bytes) else tokenizer.decode_bytes(ids.tolist())


def _is_tokenizer(vocabulary: seqio.Vocabulary, tokenizer: Tokenizer) -> bool:
  """Whether both give the same ids, as far as they can be compared: a PassThroughVocabulary has only a size."""
  if isinstance(vocabulary, TokenizerVocabulary):
    return vocabulary.tokenizer.digest == tokenizer.digest
  passes = isinstance(vocabulary, seqio.PassThroughVocabulary)
  if vocabulary.vocab_size - vocabulary.extra_ids != tokenizer.vocab_size:
    return False
  if vocabulary.eos_id != tokenizer.eos_id and not (passes and vocabulary.eos_id is None):
    return False
  if passes:
    return True
  try:
    return list(vocabulary.encode(_PROBE)) == tokenizer.encode(_PROBE)
  except Exception:  # a user's class may raise anything
    return False


def _checked(ids: object, tokenizer: Tokenizer, place: str) -> np.ndarray:
  """The ids, with EOS appended where it is missing.

  Raises UserError: they are not one row of ids of the tokenizer, or a special id stands inside.
  """
  if not isinstance(ids, np.ndarray) or ids.ndim != 1:
    form = f'of rank {ids.ndim}' if isinstance(ids, np.ndarray) else f'a {type(ids).__name__}'
    raise UserError(f"{place}: '{FEATURE}' is {form}; a document is one row of ids.")
  if ids.dtype.kind not in 'iu':
    raise UserError(f"{place}: '{FEATURE}' is of dtype {ids.dtype}; ids are integers.")
  outside = np.flatnonzero((ids < 0) | (ids >= tokenizer.vocab_size))
  if len(outside):
    raise UserError(
      f"{place}: token {outside[0]} has the id {ids[outside[0]]}, outside of the run's tokenizer, which has 0 to {tokenizer.vocab_size - 1:,}. "
      "The task's ids are of another vocabulary, or a preprocessor after the tokenization changes them."
    )
  inner = ids[:-1] if len(ids) and ids[-1] == tokenizer.eos_id else ids
  special = {tokenizer.eos_id: 'the end of a document', tokenizer.bos_id: 'the beginning of a document', tokenizer.pad_id: 'padding'}
  found = np.flatnonzero(np.isin(inner, list(special)))
  if len(found):
    id = int(inner[found[0]])
    raise UserError(
      f'{place}: token {found[0]} of {len(ids):,} has the id {id}, {special[id]}. A task gives one document as an example, '
      'not packed and not padded, with at most one EOS at its end; training puts BOS before it.'
    )
  return np.append(inner, np.asarray(tokenizer.eos_id, ids.dtype))


@contextlib.contextmanager
def _readable(task: seqio.Task, split: str) -> Iterator[None]:
  """Turns what TensorFlow raises for a source or preprocessor into a UserError of one line."""
  try:
    yield
  except tf.errors.OpError as error:
    if ended := getattr(task.source, 'error', None):  # too many records of the corpus are broken
      raise ended from None
    lines = [line.strip() for line in str(error.message).splitlines() if line.strip()]
    raised = (match[1] for line in lines if (match := re.match(r'(?:{{.*}} )?((?:[\w.]+(?:Error|Exception)): .*)', line)))
    cause = next(raised, lines[0] if lines else type(error).__name__).removeprefix('UserError: ')
    raise UserError(f'{_named(task, split)} cannot be read: {cause[:500]}') from error


def _named(task: seqio.Task, split: str) -> str:
  return f"the SeqIO task '{task.name}', split '{split}'"
