"""Writes a complete study folder with invented, plausible numbers, in the formats of a real one.

No model is trained: a source's loss falls with the tokens of it that the recipe has seen, and code
helps text a little. Same arguments, same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codemix.report.results import arm_digest

BATCH, LENGTH, DOCUMENT_TOKENS = 8, 256, 180
# floor and span of the loss in nats per token, bytes per token
SOURCES = {
  'text': (3.1, 4.6, 3.9),
  'code': (1.7, 5.6, 2.8),
  'books': (3.4, 4.4, 4.1),
  'markup': (1.5, 5.9, 2.6),
  'synthetic': (0.9, 6.2, 3.0),
}


@dataclasses.dataclass(frozen=True)
class FakeStage:
  name: str
  mixture: Mapping[str, float]
  steps: int
  peak: float = 1e-3
  linear: bool = False


def study_recipes(steps: int = 40) -> dict[str, list[FakeStage]]:
  """The study's four main recipes, 10 : 10 : 2, at `steps` steps for each of the long stages."""
  balanced = FakeStage('balanced', {'text': 0.5, 'code': 0.5}, steps)
  towards_text = FakeStage('towards_text', {'text': 0.9, 'code': 0.1}, steps)
  cooldown = FakeStage('cooldown', {'text': 0.8, 'code': 0.2}, max(2, steps // 5), 3e-4, linear=True)
  text = FakeStage('text', {'text': 1.0}, steps)
  return {
    'text-only': [text, dataclasses.replace(text, name='more_text'), cooldown],
    'balanced-only': [balanced, dataclasses.replace(balanced, name='more_balanced'), cooldown],
    'balanced-to-text': [balanced, towards_text, cooldown],
    'code-to-text': [FakeStage('code', {'code': 1.0}, steps), towards_text, cooldown],
  }


def write_fake_study(
  folder: Path,
  recipes: Mapping[str, Sequence[FakeStage]] | None = None,
  sources: Sequence[str] = ('text', 'code'),
  documents: int = 40,
  evaluated: bool = True,
  seed: int = 0,
  seeds: Mapping[str, int] | None = None,
  widths: Mapping[str, int] | None = None,
  seed_noise: float = 0.004,
) -> Path:
  """Writes `<folder>/study.json` and its stages; stages with the same history are one folder.

  Args:
    recipes: name to stages, the first is the baseline; default `study_recipes()`.
    sources: the validation sources, names in SOURCES.
    documents: validation documents of each source.
    evaluated: with False, the stages are planned only: no metrics, no evaluation, no samples.
    seed: of the documents and of all that is invented.
    seeds: training seeds by recipe; 0 where none is given.
    widths: of the models by recipe; 256 where none is given. Wider ones are better by a tenth a doubling.
    seed_noise: standard deviation of the bits per byte over training seeds, as a fraction.
  """
  recipes = recipes or study_recipes()
  seen: dict[str, None] = {}
  chains = {}
  for recipe, stages in recipes.items():
    parents: list[tuple[FakeStage, str]] = []
    chains[recipe] = []
    of = {'seed': (seeds or {}).get(recipe, 0), 'model': _model((widths or {}).get(recipe, 256))}
    for stage in stages:
      parent = parents[-1][1] if parents else None
      identity = {'parent': parent, 'stage': {**dataclasses.asdict(stage), 'name': None}, **of}
      digest = _digest([identity, stage.name])
      name = f'{stage.name}-{digest[:12]}'
      parents.append((stage, digest))
      chains[recipe].append(name)
      if name not in seen:
        seen[name] = None
        _write_stage(folder / 'stages' / name, parents, identity, sources, documents, evaluated, seed, seed_noise)
  steps = {name: recipes[r][i].steps for r, names in chains.items() for i, name in enumerate(names)}
  alone = [steps[name] for names in chains.values() for name in names]
  _dump(folder / 'study.json', {
    'name': 'code in pre-training, in miniature',
    'baseline': next(iter(recipes)),
    'note': 'The four recipes of the study with its stage ratios, <small> & quick.',
    'recipes': {
      recipe: {
        'description': f'{" then ".join(s.name for s in recipes[recipe])}', 'stages': names,
        'arm': arm_digest([json.loads((folder / 'stages' / name / 'stage.json').read_text())['identity'] for name in names]),
        'seed': (seeds or {}).get(recipe, 0),
        'model': {**_model((widths or {}).get(recipe, 256)), 'parameters': _parameters((widths or {}).get(recipe, 256))},
      }
      for recipe, names in chains.items()
    },
    'savings': {
      'stage_tokens_alone': sum(alone) * BATCH * LENGTH,
      'stage_tokens_trained': sum(steps.values()) * BATCH * LENGTH,
      'stages_alone': len(alone),
      'stages_trained': len(steps),
    },
    'provenance': {
      'command': 'codemix study --gin_file=studies/smoke.gin --output=runs/smoke',
      'python': '3.11.2', 'platform': 'Linux x86_64', 'cpu_count': 2,
      'versions': {'codemix': '0.1.0', 'jax': '0.10.2', 'flax': '0.12.8', 'numpy': '2.4.6'},
      'date': '2026-11-23T18:04:00+00:00', 'git': '0123456789abcdef', 'seed': [seed],
      'tokenizer_digest': _digest('tokenizer'),
      'corpora_digest': {source: _digest(source) for source in sources},
    },
  })  # fmt: skip
  return folder


def stage_folders(study: Path) -> list[Path]:
  """The folders of a study's stages, by name."""
  return sorted((study / 'stages').iterdir())


def named(study: Path, name: str) -> Path:
  """The first folder of a stage of this name."""
  return next(folder for folder in stage_folders(study) if folder.name.startswith(name))


def edit(path: Path, change: Callable[[Any], object]) -> None:
  """Changes a JSON file in place."""
  value = json.loads(path.read_text())
  change(value)
  path.write_text(json.dumps(value))


def _model(width: int) -> dict:
  return {'layers': 4, 'width': width, 'heads': 4, 'vocabulary': 4096}


def _parameters(width: int) -> int:
  return 64 * width**2


def _write_stage(folder, parents, identity, sources, documents, evaluated, seed, seed_noise):
  stage, digest = parents[-1]
  parent_digest = parents[-2][1] if len(parents) > 1 else None
  first = sum(s.steps for s, _ in parents[:-1])
  (folder / 'evaluation').mkdir(parents=True)
  _dump(folder / 'stage.json', {
    'name': stage.name, 'hash': digest, 'parent': parent_digest,
    'identity': identity,
  })  # fmt: skip
  accounts = _accounts(parents)
  tokens = sum(account['loss_tokens'] for account in accounts)
  _dump(folder / 'plan.json', {
    'steps': stage.steps, 'batch': BATCH, 'length': LENGTH, 'tokens': tokens, 'remainder_tokens': 17,
    'parameters': _parameters(identity['model']['width']), 'flops_per_token': 6 * 4_194_304, 'first_step': first,
    'sources': accounts, 'mixture': _tree(stage),
  })  # fmt: skip
  rates = [_rate(stage, step) for step in range(stage.steps)]
  lines = ''.join(f'{first + step + 1},{rate!r}\n' for step, rate in enumerate(rates))
  (folder / 'rate.csv').write_text('step,rate\n' + lines)
  if not evaluated:
    return
  _write_training(folder, parents, first, rates, seed)
  _dump(folder / 'ledger.json', {
    'stage': stage.name, 'planned': accounts,
    'realised': [{key: a[key] for key in ('source', 'rows', 'loss_tokens', 'documents')} for a in accounts],
    'hash': _digest(['ledger', digest]),
    'parent_hash': _digest(['ledger', parent_digest]) if parent_digest else None,
  })  # fmt: skip
  _write_evaluation(folder, parents, identity, sources, documents, first + stage.steps, seed, seed_noise)
  _dump(folder / 'samples.json', [
    {'prompt': 'def add(a, b):\n  ', 'method': 'greedy', 'text': f'return a + b  # {stage.name} & <eos>'},
    {'prompt': 'The river', 'method': 'temperature 0.8', 'text': f' ran on past the {stage.name} mill,\nand on.'},
  ])  # fmt: skip


def _tree(stage: FakeStage) -> dict:
  parts = [{'name': name, 'weight': str(share)} for name, share in stage.mixture.items()]
  return {'name': f"stage '{stage.name}'", 'weight': '1', 'parts': parts}


def _accounts(parents) -> list[dict]:
  """What a stage draws from each source; epochs go on from the stages before it."""
  before: dict[str, int] = {}
  for stage, _ in parents:
    accounts = []
    left = stage.steps * BATCH
    for index, (source, share) in enumerate(sorted(stage.mixture.items())):
      last = index == len(stage.mixture) - 1
      rows = left if last else round(share * stage.steps * BATCH)
      left -= rows
      drawn = rows * LENGTH
      pool = 400 * BATCH * LENGTH
      total = before.get(source, 0) + drawn
      before[source] = total
      accounts.append({
        'source': source, 'share': share, 'rows': rows, 'loss_tokens': drawn,
        'unique_tokens': min(drawn, pool), 'epochs': drawn / pool,
        'epochs_cumulative': total / pool, 'documents': drawn // DOCUMENT_TOKENS,
        'padded_tokens': rows // 7, 'cropped_tokens': rows * 3,
      })  # fmt: skip
  return accounts


def _rate(stage: FakeStage, step: int) -> float:
  done = step / stage.steps
  if stage.linear:
    return stage.peak * (1 - done) + 1e-6 * done
  warm = max(1, stage.steps // 35)
  return stage.peak * min((step + 1) / warm, 0.55 + 0.45 * math.cos(math.pi * done))


def _loss(source: str, seen: Mapping[str, float], settled: float) -> float:
  """Nats per token after `seen` tokens of each source; `settled` in [0, 1] is how far the rate fell."""
  floor, span, _ = SOURCES[source]
  others = sum(tokens for other, tokens in seen.items() if other != source)
  useful = seen.get(source, 0) + 0.12 * others
  return floor + span * (1 + useful / 40_000) ** -0.32 - 0.06 * settled


def _seen_before(parents) -> dict[str, float]:
  """Tokens of each source in the stages before; what a later stage does not show fades by half."""
  seen: dict[str, float] = {}
  for stage, _ in parents:
    for source in {*seen, *stage.mixture}:
      faded = seen.get(source, 0) * (1 if stage.mixture.get(source) else 0.5)
      seen[source] = faded + stage.mixture.get(source, 0) * stage.steps * BATCH * LENGTH
  return seen


def _write_training(folder, parents, first, rates, seed):
  stage, digest = parents[-1]
  generator = np.random.default_rng([seed, int(digest[:8], 16)])
  seen = _seen_before(parents[:-1])
  metrics, timing = [], []
  for step, rate in enumerate(rates):
    line = {
      'step': first + step + 1, 'stage_step': step + 1, 'tokens': (step + 1) * BATCH * LENGTH,
      'rate': rate, 'grad_norm': float(1.2 + 0.1 * generator.standard_normal()),
    }  # fmt: skip
    total = 0.0
    for source, share in stage.mixture.items():
      tokens = int(generator.binomial(BATCH, share)) * LENGTH
      seen[source] = seen.get(source, 0) + share * BATCH * LENGTH
      loss = _loss(source, seen, 1 - rate / stage.peak) + 0.12 * generator.standard_normal()
      total += share * loss
      line[f'tokens/{source}'] = tokens
      if tokens:
        line[f'loss/{source}'] = float(loss)
    metrics.append({**line, 'loss': float(total)})
    timing.append({'step': first + step + 1, 'seconds': 0.5, 'tokens_per_second': BATCH * LENGTH / 0.5})
  # A third of the steps was trained twice, for a process was killed.
  step, lost = 0.4 * len(rates), 0.4 * len(rates) // 3
  time = [
    {'from': first, 'step': first + len(rates) // 3, 'seconds': {'compile': 3.0, 'step': lost}},
    {'from': first, 'step': first + len(rates), 'seconds': {'step': step, 'data': 1.0}},
    {'seconds': {'evaluation': 2.0}},
  ]
  for name, records in (('metrics', metrics), ('timing', timing), ('time', time)):
    (folder / f'{name}.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in records))


def _write_evaluation(folder, parents, identity, sources, documents, step, seed, seed_noise):
  seen = _seen_before(parents)
  luck = 0.0
  if identity['seed']:  # the first seed stays where the loss says
    luck = seed_noise * float(np.random.default_rng(int(parents[-1][1][:8], 16)).standard_normal())
  size = 0.9 ** math.log2(identity['model']['width'] / 256)
  scores = {}
  for index, source in enumerate(sources):
    # The documents are the same for every stage; only the model's own noise is not.
    shared = np.random.default_rng([seed, index])
    sizes = np.ceil(shared.lognormal(6.2, 0.9, documents)).astype(np.int64)
    hardness = shared.gamma(30, 1 / 30, documents)
    own = np.random.default_rng([seed, index, int(parents[-1][1][:8], 16)])
    tokens = np.maximum(1, (sizes / SOURCES[source][2]).astype(np.int64))
    nats = tokens * _loss(source, seen, 1.0) * size * (1 + luck) * hardness * own.gamma(900, 1 / 900, documents)
    np.savez(folder / 'evaluation' / f'{source}.npz', nats=nats, tokens=tokens, bytes=sizes)
    scores[source] = {
      'documents': documents, 'tokens': int(tokens.sum()), 'bytes': int(sizes.sum()),
      'nats': float(nats.sum()), 'loss': float(nats.sum() / tokens.sum()),
      'bits_per_byte': float(nats.sum() / (math.log(2) * sizes.sum())),
    }  # fmt: skip
  digest = _digest(['checkpoint', parents[-1][1]])
  _dump(folder / 'evaluation.json', {'step': step, 'checkpoint': digest, 'sources': scores})


def _dump(path: Path, value) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


def _digest(value) -> str:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
