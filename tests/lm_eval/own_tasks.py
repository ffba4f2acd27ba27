"""Compares codemix's own benchmarks with lm-evaluation-harness's tasks of the same sets, item by item.

    python -m tests.lm_eval.own_tasks [--limit N] [--tasks NAME...] [--folder DIR]

The harness's task files are its own (prompts, choices, metrics), on the files of the shared folder. Its `hf` scores the exported
model and its `codemix` the checkpoint; `codemix.evaluation` scores the checkpoint with the tasks of the registry. It prints a
line for each task, and fails if a difference has none of these reasons:

- space: codemix strips white space around a question and a choice, which some rows have;
- cut: BOS and the text exceed the model's length. The harness cuts BOS off, codemix keeps it;
- tie: choices with the same score, of which the harness takes the first, and codemix shares the item among them;
- length: acc_norm divides by the choice's characters without the space before it, codemix by the bytes that are scored, with the
  space. With the harness's lengths codemix's log-likelihoods give the harness's winner.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.evaluation.model import Model
from codemix.evaluation.tasks.multiple_choice import PER_BYTE, RAW, ChoiceScores, pairs_of
from codemix.evaluation.tasks.registry import TASKS
from codemix.evaluation.tasks.task import Settings
from codemix.huggingface.export import export_stage
from codemix.studies.load_stage import load_stage
from tests.lm_eval.parity import BOUND, EVAL, LENGTH, PEER, lines, make_stage, run

HARNESS = Path(lm_eval.__file__).parent / 'tasks'
Row = Mapping[str, Any]


def piqa() -> Iterator[Row]:
  labels = (EVAL / 'piqa/valid-labels.lst').read_text().split()
  for row, label in zip(lines(EVAL / 'piqa/valid.jsonl'), labels, strict=True):
    yield {**row, 'label': int(label)}


def arc_easy() -> Iterator[Row]:
  for row in lines(EVAL / 'arc/ARC-Easy-Test.jsonl'):
    choices = row['question']['choices']
    listed = {name: [choice[name] for choice in choices] for name in ('text', 'label')}
    yield {'question': row['question']['stem'], 'choices': listed, 'answerKey': row['answerKey']}


def hellaswag() -> Iterator[Row]:
  """The file of the shared folder has the context in one piece, which upstream has in two."""
  for row in lines(EVAL / 'hellaswag/hellaswag_val_subset1000.jsonl.gz'):
    yield {'ctx_a': row['ctx'], 'ctx_b': '', **row}


def lambada() -> Iterator[Row]:
  for row in lines(EVAL / 'lambada/lambada_openai.jsonl.gz'):
    yield {'text': f'{row["context"]} {row["continuation"]}'}


def boolq() -> Iterator[Row]:
  for row in lines(EVAL / 'boolq/dev.jsonl.gz'):
    yield {'passage': row['passage'], 'question': row['question'], 'label': int(row['answer'])}


def winogrande() -> Iterator[Row]:
  return lines(EVAL / 'winogrande/dev.jsonl')


@dataclasses.dataclass(frozen=True)
class Theirs:
  """A task of the harness: its file below lm_eval/tasks, and the rows of its data set in the hub's form."""

  file: str
  rows: Callable[[], Iterator[Row]]


SETS: Mapping[str, Theirs] = {
  'piqa': Theirs('piqa/piqa.yaml', piqa),
  'arc_easy': Theirs('arc/arc_easy.yaml', arc_easy),
  'hellaswag': Theirs('hellaswag/hellaswag.yaml', hellaswag),
  'lambada': Theirs('lambada/lambada_openai.yaml', lambada),
  'boolq': Theirs('super_glue/boolq/default.yaml', boolq),
  'winogrande': Theirs('winogrande/default.yaml', winogrande),
}


def write_task(folder: Path, name: str, limit: int | None) -> None:
  """The harness's own task file, with our data."""
  rows = list(SETS[name].rows())[:limit]
  (folder / f'{name}.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  (folder / f'{name}.yaml').write_text(
    f'include: {HARNESS / SETS[name].file}\ntask: our_{name}\ntag: []\ndataset_path: json\ndataset_name: null\ndataset_kwargs:\n  data_files:\n'
    f'    test: {folder}/{name}.jsonl\ntraining_split: null\nvalidation_split: null\ntest_split: test\n'
  )


@dataclasses.dataclass(frozen=True)
class Scored:
  """A task's items: the texts of each (context, continuation), its log-likelihood and whether it is greedy; the scores, by item and in all."""

  pairs: list[list[tuple[str, str]]]
  nats: list[np.ndarray]
  greedy: list[np.ndarray]
  metrics: dict[str, np.ndarray]
  scores: dict[str, float]


def harness_scores(out: Path, name: str) -> Scored:
  [results] = out.glob('**/results*.json')
  [samples] = out.glob(f'**/samples_our_{name}_*.jsonl')
  items = sorted(lines(samples), key=lambda item: item['doc_id'])
  asked = [[(pair['arg_0'], pair['arg_1']) for pair in item['arguments'].values()] for item in items]
  answers = [[answer for [answer] in item['resps']] for item in items]
  metrics = {metric: np.asarray([item[metric] for item in items]) for metric in ('acc', 'acc_norm') if metric in items[0]}
  scores = json.loads(results.read_text())['results'][f'our_{name}']
  return Scored(
    asked, [np.asarray([-float(nats) for nats, _ in item]) for item in answers],
    [np.asarray([str(greedy) == 'True' for _, greedy in item]) for item in answers],
    metrics, {metric: scores[f'{metric},none'] for metric in metrics},
  )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Own:
  """codemix's own task: the texts and log-likelihoods of its items, what it wins by, and its scores."""

  pairs: list[list[tuple[str, str]]]
  nats: list[np.ndarray]
  gold: list[int]
  bytes: list[np.ndarray]
  correct: np.ndarray
  scores: Mapping[str, float]


def own_scores(model: Model, name: str, limit: int | None) -> Own:
  """Through the evaluator that `codemix evaluate` runs, of the first items of the file."""
  evaluator = TASKS[name].evaluator(Settings(EvaluationFolder(EVAL)))
  asked = dataclasses.replace(evaluator.asked, items=tuple(evaluator.items[:limit]))
  evaluator = dataclasses.replace(evaluator, asked=asked)
  results = evaluator.run(model)
  columns = results.items
  if isinstance(evaluator, ChoiceScores):
    pairs, nats = [pairs_of(item) for item in evaluator.items], [np.asarray(found) for found in columns['nats']]
    return Own(pairs, nats, [item.gold[0] for item in evaluator.items], [np.asarray(found) for found in columns['bytes']], columns['correct'], results.scores)
  pairs = [[(item.prompt, item.reference)] for item in evaluator.items]
  return Own(pairs, [np.asarray([found]) for found in columns['gold_nats']], [0] * len(pairs), [], np.asarray(columns['correct']), results.scores)


def winner(nats: np.ndarray, sizes: np.ndarray | float) -> int:
  return int(np.argmin(nats / sizes))


def compare_task(name: str, own: Own, theirs: Scored, model: Model) -> tuple[str, bool]:
  """A line for a task, and whether every difference has its reason.

  Args:
    own: of codemix's own task.
    theirs: of `hf`, or of the harness's model `codemix`.
    model: whose tokenizer and length say what is cut.
  """
  same = [mine == other for mine, other in zip(own.pairs, theirs.pairs, strict=True)]
  other = sum(_words(mine) != _words(item) for mine, item in zip(own.pairs, theirs.pairs, strict=True))
  texts = [context + continuation for item in own.pairs for context, continuation in item]
  sizes = iter([len(tokens) for tokens in model.tokenizer.encode_batch(texts)])
  cut = [max(next(sizes) for _ in item) > model.length for item in own.pairs]
  gaps = np.asarray([np.abs(mine - other).max() if text else np.nan for mine, other, text in zip(own.nats, theirs.nats, same, strict=True)])
  compared = np.asarray(same) & ~np.asarray(cut)
  largest = float(gaps[compared].max()) if compared.any() else 0.0
  told = f'{name}: {len(same):,} items, text differs in {same.count(False)} (in more than space {other}), cut {sum(cut)}, largest difference of the others {largest:.1e} nats'
  good = largest < BOUND and not other
  if own.bytes:
    told, good = _choices(own, theirs, compared, told, good)
  else:
    wrong = int((own.correct != theirs.metrics['acc'])[compared].sum())
    told, good = f'{told}; accuracy {own.scores["score"]:.4f} and {theirs.scores["acc"]:.4f}, other items differ {wrong}', good and not wrong
  return told, good


def _words(pairs: list[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
  return [(context.split(), continuation.split()) for context, continuation in pairs]


def _choices(own: Own, theirs: Scored, compared: np.ndarray, told: str, good: bool) -> tuple[str, bool]:
  lengths = [np.asarray([len(continuation.removeprefix(' ')) for _, continuation in item], float) for item in own.pairs]
  rules = {'acc': ([1.0] * len(lengths), [1.0] * len(lengths), RAW), 'acc_norm': (lengths, own.bytes, PER_BYTE)}
  for metric in theirs.metrics:
    as_theirs, as_ours, score = rules[metric]
    right = [np.asarray([winner(nats, size) == gold for nats, size, gold in zip(own.nats, by, own.gold, strict=True)]) for by in (as_theirs, as_ours)]
    tied = np.asarray([np.sum(nats / size == np.min(nats / size)) > 1 for nats, size in zip(own.nats, as_ours, strict=True)])
    unexplained = int(((right[0] != theirs.metrics[metric]) & compared & ~tied).sum())
    told += f'; {metric} {own.scores[score]:.4f} and {theirs.scores[metric]:.4f}'
    told += f' (length {int((right[0] != right[1]).sum())}, tie {int(tied.sum())}, unexplained {unexplained})'
    good = good and not unexplained
  return told, good


def compare(folder: Path, names: list[str], limit: int | None) -> None:
  """Runs all three and prints two lines for each task. Exits with a message if a difference has no reason."""
  for name in names:
    write_task(folder, name, limit)
  stage = make_stage(folder, [json.dumps(row, ensure_ascii=False) for name in names for row in SETS[name].rows()])
  export_stage(stage, folder / 'exported')
  run(sys.executable, 'codemix.lm_eval', folder, folder / 'adapter', names, '--model', 'codemix', '--model_args', f'checkpoint={stage},batch=8')
  run(str(PEER), 'lm_eval', folder, folder / 'hf', names, '--model', 'hf', '--device', 'cpu', '--batch_size', '16', '--model_args', f'pretrained={folder / "exported"},dtype=float32')
  model, wrong = load_stage(stage).model(batch=8), []
  print(f'rows of {LENGTH} tokens; scores of codemix first, then of the harness', flush=True)
  for name in names:
    own = own_scores(model, name, limit)
    for other in ('hf', 'adapter'):
      told, good = compare_task(name, own, harness_scores(folder / other, name), model)
      print(f'{other} {told}', flush=True)
      if not good:
        wrong.append(f'{name} ({other})')
  if wrong:
    sys.exit(f'different without a reason: {", ".join(wrong)}')


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--limit', type=int, metavar='N', help='items of each task')
  parser.add_argument('--tasks', nargs='+', choices=SETS, default=list(SETS))
  parser.add_argument('--folder', type=Path, help='an empty one, which stays')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as made:
    compare(arguments.folder or Path(made), arguments.tasks, arguments.limit)
