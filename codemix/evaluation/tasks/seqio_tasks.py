"""Benchmarks as SeqIO tasks with metrics, and SeqIO tasks with metrics as benchmarks.

SeqIO and TensorFlow are imported when a function needs them.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError, nearest
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.examples import reference
from codemix.evaluation.tasks.free_answer import AnswerScores
from codemix.evaluation.tasks.generating import GeneratingEvaluator, columns_of, decoding_of
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.multiple_choice import ChoiceScores, choice_results, pairs_of
from codemix.evaluation.tasks.task import Items, Settings, Task
from codemix.evaluation.tasks.task_evaluator import ask, gold_bits_per_byte
from codemix.models.decoding import Decoding


def register_benchmark(task: Task, settings: Settings, tokenizer: Tokenizer, name: str | None = None) -> Any:
  """Registers a benchmark as a SeqIO task with one split, 'validation', and returns the `seqio.Task`.

  A task with choices has an example for each choice, with `idx` (item, choice); its metric takes their scores
  (log-likelihoods). A task with free answers has an example for each item; its metric takes predictions (texts).
  Features `inputs` and `targets` are ids of `tokenizer`.

  Raises UserError if the task is of neither kind, or a file is missing.

  Args:
    name: in SeqIO's registry; None for 'codemix_' and the task's name.
  """
  import seqio

  from codemix.data.seqio.vocabularies import TokenizerVocabulary

  evaluator = task.evaluator(settings)
  if isinstance(evaluator, ChoiceScores):
    examples = [
      {'inputs': prompt, 'targets': choice, 'idx': [number, at]}
      for number, item in enumerate(evaluator.items)
      for at, (prompt, choice) in enumerate(pairs_of(item))
    ]
    metric = functools.partial(_choice_metric, evaluator.items, task.metric)
  elif isinstance(evaluator, AnswerScores):
    pairs = map(reference, evaluator.items)
    examples = [{'inputs': prompt, 'targets': answer, 'idx': [number, 0]} for number, (prompt, answer) in enumerate(pairs)]
    metric = functools.partial(_answer_metric, evaluator)
  else:
    raise UserError(f"task '{task.name}' has neither choices nor free answers, so it has no SeqIO metric.")
  feature = seqio.Feature(TokenizerVocabulary(tokenizer), add_eos=False)
  return seqio.TaskRegistry.add(
    name or f'codemix_{task.name.replace("-", "_")}',
    source=seqio.FunctionDataSource(functools.partial(_dataset, examples), splits=['validation'], num_input_examples={'validation': len(examples)}),
    preprocessors=[functools.partial(seqio.preprocessors.tokenize, copy_pretokenized=True)],
    output_features={'inputs': feature, 'targets': feature},
    postprocess_fn=_place,
    metric_fns=[_named(metric, isinstance(evaluator, ChoiceScores))],
  )


def _dataset(examples: Sequence[Mapping[str, Any]], split: str, shuffle_files: bool = False, seed: int | None = None):
  import tensorflow as tf

  del split, shuffle_files, seed
  columns = {key: [example[key] for example in examples] for key in examples[0]}
  return tf.data.Dataset.from_tensor_slices(columns)


def _place(output: Any, example: Mapping[str, Any] | None = None, is_target: bool = False) -> Any:
  """SeqIO's postprocessor: the example's (item, choice) in place of its target."""
  return tuple(int(number) for number in example['idx']) if is_target else output


def _named(metric, of_scores: bool):
  """The metric with the argument names by which SeqIO decides what it takes."""
  if of_scores:
    return lambda targets, scores: metric(targets, scores)
  return lambda targets, predictions: metric(targets, predictions)


def _choice_metric(items: Sequence[Item], metric: str, targets: Sequence[tuple[int, int]], scores) -> dict[str, float]:
  values = scores[0] if isinstance(scores, tuple) else scores  # seqio may add what else the model returned
  nats = [np.full(len(item.choices), math.nan) for item in items]
  for (item, choice), score in zip(targets, values, strict=True):
    nats[item][choice] = -float(score)
  sizes = [np.asarray([len(choice.encode()) for choice in item.choices]) for item in items]
  return dict(choice_results(items, nats, [np.ones(len(n)) for n in nats], sizes, [None] * len(items), metric).scores)


def _answer_metric(evaluator: AnswerScores, targets: Sequence[tuple[int, int]], predictions: Sequence[str]) -> dict[str, float]:
  said = {item: prediction for (item, _), prediction in zip(targets, predictions, strict=True)}
  return {
    name: float(np.mean([measure(said[number], item) for number, item in enumerate(evaluator.items)]))
    for name, measure in evaluator.task.measures.items()
  }


@dataclasses.dataclass(frozen=True)
class SeqioTask:
  """A registered SeqIO task with metrics on predictions, as a benchmark.

  The model completes each example's text `inputs`; SeqIO's postprocessor and metrics score the completions.

  Attributes:
    name: in SeqIO's registry; the modules that register it must be imported before.
    split: of its source.
    decoding: how completions are generated.
    headline: the name of the metric that is the score, if it is from 0 to 1; '' for none.
  """

  name: str
  split: str = 'validation'
  decoding: Decoding = Decoding()
  headline: str = ''

  @property
  def metric(self) -> str:
    return self.headline or 'SeqIO metrics'

  def read(self, folder: EvaluationFolder) -> Items:
    """Raises UserError if the task is not registered, or has no text feature `inputs` or no metrics on predictions."""
    import seqio

    if self.name not in seqio.TaskRegistry.names():
      raise UserError(f"SeqIO has no task '{self.name}'.{nearest(self.name, seqio.TaskRegistry.names())}")
    task = seqio.TaskRegistry.get(self.name)
    if not task.predict_metric_fns:
      raise UserError(f"SeqIO's task '{self.name}' has no metric on predictions.")
    items = []
    for number, example in enumerate(task.get_dataset(None, self.split, shuffle=False).as_numpy_iterator()):
      texts = {key: example.get(f'{key}_pretokenized') for key in ('inputs', 'targets')}
      if texts['inputs'] is None:
        raise UserError(f"SeqIO's task '{self.name}' keeps no text: tokenize with copy_pretokenized, so that examples have inputs_pretokenized.")
      prompt, target = (_text(value) for value in texts.values())
      items.append(Item(str(number), prompt, answers=(target,), reference=target, fields={'example': example}))
    return Items(items, {'seqio': f'{self.name}/{self.split}'})

  def evaluator(self, settings: Settings) -> SeqioScores:
    """Raises UserError as `read` does, or if examples are asked for."""
    return SeqioScores(self, ask(self.name, self.read(settings.folder), settings), decoding_of(self.decoding, settings), settings.completions)


@dataclasses.dataclass(frozen=True, eq=False)
class SeqioScores(GeneratingEvaluator):
  """The evaluator of `SeqioTask`; several samples of an example are not scored, only the first."""

  task: SeqioTask

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Scores of every metric function of the task by name. Raises NonFiniteError."""
    import seqio

    task = seqio.TaskRegistry.get(self.task.name)
    nats, sizes = self.gold(model)
    completions = self.complete(model)
    examples = [item.fields['example'] for item in self.items]
    said = [completion[0].text for completion in completions]
    targets = [task.postprocess_fn(_text(e['targets_pretokenized']), example=e, is_target=True) for e in examples]
    answers = [task.postprocess_fn(text, example=e, is_target=False) for text, e in zip(said, examples, strict=True)]
    found = collections.ChainMap(*(metric(targets, answers) for metric in task.predict_metric_fns))
    scores = {name: float(value) for name, value in found.items()}
    scores |= {'items': len(self.items), **gold_bits_per_byte(nats, sizes)}
    if self.task.headline:
      if self.task.headline not in scores:
        raise UserError(f"SeqIO's task '{self.task.name}' has no metric '{self.task.headline}'.{nearest(self.task.headline, scores)}")
      scores['score'] = scores[self.task.headline]
    columns = {'id': [item.id for item in self.items], 'gold_nats': nats, 'gold_bytes': sizes, **columns_of(completions)}
    return Results(scores, columns)


def _text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
