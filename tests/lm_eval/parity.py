"""Compares the adapter with lm-evaluation-harness's own `hf` on the exported model, item by item.

    python -m tests.lm_eval.parity [--limit N] [--tasks NAME...] [--folder DIR]

A small Cohere-form model of random weights is written as a stage, exported, and scored by both on six benchmarks of
the shared folder, through the harness's command line and task files that are made here (prompts are those of the
harness's tasks). It prints a line for each task, and fails if a log-likelihood differs by 1e-3 nats or more, or an accuracy.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import codemix
from codemix.data.tokenization.bpe import train_bpe
from codemix.huggingface.export import export_stage
from tests.huggingface.stages import random_params, write_stage

ROOT = Path(__file__).resolve().parents[2]
EVAL = ROOT.parent / 'shared' / 'data' / 'eval'
PEER = ROOT / '.venv-peers' / 'transformers5' / 'bin' / 'python'
LENGTH, ENTRIES, BOUND = 512, 2048, 1e-3
CONFIG = codemix.ModelConfig(
  vocab_size=ENTRIES, layers=2, width=32, ffn_width=64, heads=4, kv_heads=2, head_dim=8, dtype='float32'
)
Row = dict[str, object]  # {'text', 'choices', 'gold'}; without choices {'text', 'target'}


def lines(path: Path) -> Iterator[Row]:
  data = path.read_bytes()
  yield from map(json.loads, (gzip.decompress(data) if path.suffix == '.gz' else data).decode().splitlines())


def piqa() -> Iterator[Row]:
  labels = (EVAL / 'piqa/valid-labels.lst').read_text().split()
  for row, label in zip(lines(EVAL / 'piqa/valid.jsonl'), labels, strict=True):
    yield {'text': f'Question: {row["goal"]}\nAnswer:', 'choices': [row['sol1'], row['sol2']], 'gold': int(label)}


def arc_easy() -> Iterator[Row]:
  for row in lines(EVAL / 'arc/ARC-Easy-Test.jsonl'):
    question = row['question']
    labels = [choice['label'] for choice in question['choices']]
    texts = [choice['text'] for choice in question['choices']]
    yield {'text': f'Question: {question["stem"]}\nAnswer:', 'choices': texts, 'gold': labels.index(row['answerKey'])}


def hellaswag() -> Iterator[Row]:
  for row in lines(EVAL / 'hellaswag/hellaswag_val_subset1000.jsonl.gz'):
    yield {'text': f'{row["activity_label"]}: {row["ctx"]}', 'choices': row['endings'], 'gold': row['label']}


def lambada() -> Iterator[Row]:
  for row in lines(EVAL / 'lambada/lambada_openai.jsonl.gz'):
    yield {'text': row['context'], 'target': f' {row["continuation"]}'}


def boolq() -> Iterator[Row]:
  for row in lines(EVAL / 'boolq/dev.jsonl.gz'):
    yield {'text': f'{row["passage"]}\nQuestion: {row["question"]}?\nAnswer:', 'choices': ['no', 'yes'], 'gold': int(row['answer'])}


def winogrande() -> Iterator[Row]:
  """The continuation is the same, and the contexts differ."""
  for row in lines(EVAL / 'winogrande/dev.jsonl'):
    before, after = row['sentence'].split('_')
    contexts = [before + row['option1'], before + row['option2']]
    yield {'text': int(row['answer']) - 1, 'choices': contexts, 'gold': after.strip()}


TASKS: Mapping[str, Callable[[], Iterator[Row]]] = {
  made.__name__: made for made in (piqa, arc_easy, hellaswag, lambada, boolq, winogrande)
}


def write_task(folder: Path, name: str, rows: list[Row]) -> None:
  """The task file of the harness, and its data."""
  (folder / f'{name}.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  choice = 'output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: gold'
  free = 'output_type: loglikelihood\ndoc_to_target: "{{target}}"'
  (folder / f'{name}.yaml').write_text(
    f'task: our_{name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {folder}/{name}.jsonl\ntest_split: test\n'
    f'doc_to_text: text\n{choice if "choices" in rows[0] else free}\nmetric_list:\n  - metric: acc\n'
  )


def run(python: str, module: str, folder: Path, out: Path, names: list[str], *words: str) -> None:
  """One run of the harness's command line."""
  environment = {**os.environ, 'HF_HUB_OFFLINE': '1', 'HF_DATASETS_OFFLINE': '1', 'HF_HOME': str(folder / 'home'), 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
  tasks = ','.join(f'our_{name}' for name in names)
  command = [python, '-m', module, *words, '--tasks', tasks, '--include_path', str(folder), '--output_path', str(out), '--log_samples']
  ran = subprocess.run(command, env=environment, capture_output=True, text=True)
  if ran.returncode:
    sys.exit(f'{" ".join(command)}\n{ran.stderr}')


def found(out: Path, name: str) -> tuple[float, list[list]]:
  """The accuracy, and of each item (log-likelihood, greedy) of its requests."""
  [results] = out.glob('**/results*.json')
  [samples] = out.glob(f'**/samples_our_{name}_*.jsonl')
  items = sorted(lines(samples), key=lambda item: item['doc_id'])
  return json.loads(results.read_text())['results'][f'our_{name}']['acc,none'], [
    [(float(nats), str(greedy) == 'True') for [(nats, greedy)] in item['resps']] for item in items
  ]


def make_stage(folder: Path, texts: list[str]) -> Path:
  """The folder of a stage of random weights, with a tokenizer trained on these texts."""
  train_bpe(texts, ENTRIES, folder / 'tokenizer.json')
  return write_stage(folder / 'output', CONFIG, random_params(CONFIG, factor=2.0), folder / 'tokenizer.json', length=LENGTH)


def compare(folder: Path, names: list[str], limit: int | None) -> None:
  """Runs both and prints a line for each task. Exits with a message if they differ."""
  rows = {name: list(TASKS[name]()) for name in names}
  for name in names:
    write_task(folder, name, rows[name][:limit])
  texts = [json.dumps(row, ensure_ascii=False) for of_task in rows.values() for row in of_task]
  stage = make_stage(folder, texts)
  export_stage(stage, folder / 'exported')
  run(sys.executable, 'codemix.lm_eval', folder, folder / 'ours', names, '--model', 'codemix', '--model_args', f'checkpoint={stage},batch=8')
  run(str(PEER), 'lm_eval', folder, folder / 'theirs', names, '--model', 'hf', '--device', 'cpu', '--batch_size', '16', '--model_args', f'pretrained={folder / "exported"},dtype=float32')
  wrong = []
  for name in names:
    (accuracy, ours), (wanted, theirs) = found(folder / 'ours', name), found(folder / 'theirs', name)
    pairs = [(a, b) for mine, other in zip(ours, theirs, strict=True) for a, b in zip(mine, other, strict=True)]
    largest = max(abs(mine[0] - other[0]) for mine, other in pairs)
    greedy = sum(mine[1] != other[1] for mine, other in pairs)
    print(f'{name}: {len(ours):,} items, {len(pairs):,} requests, largest difference {largest:.1e} nats, greedy differs in {greedy}, accuracy {accuracy:.4f} and {wanted:.4f}', flush=True)
    if not largest < BOUND or accuracy != wanted or greedy:
      wrong.append(name)
  if wrong:
    sys.exit(f'different: {", ".join(wrong)}')


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--limit', type=int, metavar='N', help='items of each task')
  parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
  parser.add_argument('--folder', type=Path, help='an empty one, which stays')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as made:
    compare(arguments.folder or Path(made), arguments.tasks, arguments.limit)
