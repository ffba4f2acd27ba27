"""A study of many arms, tasks and seeds, written directly: the size that a report must stand.

One stage of `fake_study` is the pattern; each run gets a copy of its small files with another mixture. Files of items are
made a few times for each task and dealt to the runs, because writing parquet would take minutes.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codemix.evaluation.results import record_digest
from codemix.evaluation.tasks.registry import GROUPS
from tests.report.fake_study import stage, write_fake_study

TASKS = tuple(task for name in ('nl_reasoning', 'knowledge', 'code', 'general') for task in GROUPS[name].tasks)[:20]
SOURCES = ('text', 'code')
VARIANTS = 40  # of the items of a task or source; runs are dealt these


def write_large_study(folder: Path, arms: int = 100, seeds: int = 5, tasks: Sequence[str] = TASKS, items: int = 200, steps: int = 200) -> Path:
  """Writes a finished study of `arms` x `seeds` runs of one stage each, scored on `tasks` and two held-out sources.

  The first arm is the baseline; arms differ in the share of code.
  """
  pattern = write_fake_study(folder.with_name(f'{folder.name}-pattern'), {'pattern': [stage('pre', {'text': 0.5, 'code': 0.5}, steps)]})
  study = json.loads((pattern / 'study.json').read_text())
  (of_stage,) = (pattern / 'stages').iterdir()
  files = {name: (of_stage / name).read_bytes() for name in ('rate.csv', 'metrics.jsonl', 'timing.jsonl', 'time.jsonl')}
  records = {name: json.loads((of_stage / name).read_text()) for name in ('stage.json', 'plan.json', 'ledger.json', 'evaluation/samples.json')}
  stored = {f'tasks/{task}': [_task(task, number, variant, items) for variant in range(VARIANTS)] for number, task in enumerate(tasks)}
  stored |= {f'held_out/{source}': [_held_out(number, variant) for variant in range(VARIANTS)] for number, source in enumerate(SOURCES)}
  recipes = {}
  for arm in range(arms):
    for seed in range(seeds):
      name, place = f'arm {arm:03d} seed {seed}', f'pre-{arm:04d}{seed:08d}'
      run = folder / 'stages' / place
      for part in ('tasks', 'held_out'):
        (run / 'evaluation' / part).mkdir(parents=True, exist_ok=True)
      for file, content in files.items():
        (run / file).write_bytes(content)
      for file, record in records.items():
        (run / file).write_text(json.dumps(_mixed(record, (arm + 1) / (arms + 1))))
      for evaluator, variants in stored.items():
        _write(run / 'evaluation' / evaluator, place, *variants[(7 * arm + 13 * seed) % VARIANTS])
      recipes[name] = {**study['recipes']['pattern'], 'arm': f'arm {arm:03d}', 'seed': seed, 'stages': [place], 'description': f'arm {arm:03d}'}
  evaluators = [*stored, 'samples']
  (folder / 'study.json').write_text(json.dumps({**study, 'recipes': recipes, 'baseline': 'arm 000 seed 0', 'evaluators': evaluators}))
  return folder


def _mixed(record: dict[str, Any], code: float) -> dict[str, Any]:
  """A plan or ledger with another share of code; other records as they are."""
  parts = {key: record[key] for key in ('sources', 'planned', 'realised') if isinstance(record.get(key), list)}
  for key, uses in parts.items():
    whole = sum(use['loss_tokens'] for use in uses)
    tokens = {'text': whole - round(code * whole), 'code': round(code * whole)}
    shares = {'text': 1 - code, 'code': code}
    parts[key] = [{**use, 'loss_tokens': tokens[use['source']], **({'share': shares[use['source']]} if 'share' in use else {})} for use in uses]
  if 'mixture' in record:
    parts['mixture'] = {'name': 'mixture', 'weight': '1', 'parts': [{'name': 'text', 'weight': str(1 - code)}, {'name': 'code', 'weight': str(code)}]}
  return {**record, **parts}


def _task(task: str, number: int, variant: int, items: int) -> tuple[dict[str, float], dict[str, str], bytes]:
  shared, own = np.random.default_rng([number]), np.random.default_rng([number, variant])
  skill = 0.4 + 0.2 * number / 20 + 0.05 * own.random()
  correct = (0.7 * shared.random(items) + 0.3 * own.random(items) < skill).astype(np.float64)
  sizes = shared.integers(2, 60, items)
  nats = sizes * own.gamma(400, 1 / 400, items)
  scores = {
    'score': float(correct.mean()), 'items': items, 'chance': 0.25, 'majority': 0.27, 'gold_probability': 0.9 * float(correct.mean()),
    'gold_bits_per_byte': float(nats.sum() / sizes.sum() / math.log(2)),
  }  # fmt: skip
  columns = {'id': [f'{task}/{item}' for item in range(items)], 'correct': correct, 'gold_nats': nats, 'gold_bytes': sizes}
  return scores, {'task': task, 'metric': 'accuracy', 'data': task}, _parquet(columns)


def _held_out(number: int, variant: int, documents: int = 60) -> tuple[dict[str, float], dict[str, str], bytes]:
  shared, own = np.random.default_rng([100 + number]), np.random.default_rng([100 + number, variant])
  sizes = np.ceil(shared.lognormal(6.2, 0.9, documents)).astype(np.int64)
  tokens = np.maximum(1, sizes // 4)
  nats = tokens * (2.5 + 0.1 * own.random()) * own.gamma(900, 1 / 900, documents)
  bits = float(nats.sum() / sizes.sum() / math.log(2))
  scores = {'documents': documents, 'tokens': int(tokens.sum()), 'bytes': int(sizes.sum()), 'nats': float(nats.sum()), 'loss': float(nats.sum() / tokens.sum()), 'bits_per_byte': bits}
  return scores, {}, _parquet({'nats': nats, 'tokens': tokens, 'bytes': sizes})


def _parquet(columns: Mapping[str, Any]) -> bytes:
  buffer = io.BytesIO()
  pq.write_table(pa.table(columns), buffer)
  return buffer.getvalue()


def _write(path: Path, place: str, scores: Mapping[str, float], identity: Mapping[str, str], items: bytes) -> None:
  path.with_suffix('.parquet').write_bytes(items)
  record = {'step': 200, 'identity': {'checkpoint': place, **identity}, 'scores': scores, 'samples': [], 'items': sha256(items).hexdigest()}
  path.with_suffix('.json').write_text(json.dumps({**record, 'digest': record_digest(record)}))
