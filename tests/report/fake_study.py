"""A study that was planned but not trained: its results are made up, and written as a run writes them.

A source's loss falls with the tokens of it that the recipe has seen, and code helps text a little. The
same arguments give the same results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import codemix
from codemix.data.batches.ledger import COUNTED
from codemix.data.settings import Data
from codemix.evaluation.held_out import summary
from codemix.evaluation.results import (
  HELD_OUT_PREFIX,
  SAMPLES,
  Results,
  read_results,
  record_digest,
  write_results,
)
from codemix.storage import write_json
from codemix.studies.claim_record import claim_records, register_claims
from codemix.studies.planning import StudyPlan, plan_study
from codemix.studies.preflight import Ready
from codemix.studies.runner import describe_study
from codemix.training.drawn import Drawn
from codemix.training.metrics import JsonLines, step_record
from codemix.training.stage import StagePlan, stage_folder
from codemix.training.stage_record import write_plan, write_result
from tests.tiny_study import write_store

BATCH, LENGTH, DOCUMENT_TOKENS = 8, 256, 180
# floor and span of the loss in nats per token, bytes per token
SOURCES = {
  'text': (3.1, 4.6, 3.9),
  'code': (1.7, 5.6, 2.8),
  'books': (3.4, 4.4, 4.1),
  'markup': (1.5, 5.9, 2.6),
  'synthetic': (0.9, 6.2, 3.0),
}
KINDS = {'text': 'text', 'books': 'text', 'code': 'code', 'markup': 'code', 'synthetic': 'code'}


def stage(name: str, mixture: Mapping[str, float], steps: int, peak: float = 1e-3) -> codemix.Stage:
  schedule = codemix.WarmupCosine(peak=peak, warmup_steps=1, floor=peak / 10)
  handoff = codemix.Handoff(rate='restart')
  tokens = steps * BATCH * LENGTH
  return codemix.Stage(name=name, mixture=mixture, tokens=tokens, batch=BATCH, schedule=schedule, handoff=handoff)


def paper_recipes(steps: int = 40) -> dict[str, list[codemix.Stage]]:
  """The paper's four main recipes, 10 : 10 : 2, at `steps` steps for each of the long stages."""
  balanced = {'text': 0.5, 'code': 0.5}
  beginning = stage('balanced', balanced, steps)
  towards_text = stage('towards_text', {'text': 0.9, 'code': 0.1}, steps)
  cooldown = codemix.Stage(
    name='cooldown', mixture={'text': 0.8, 'code': 0.2}, tokens=max(2, steps // 5) * BATCH * LENGTH,
    batch=BATCH, schedule=codemix.LinearTo(1e-6), handoff=codemix.Handoff(),
  )  # fmt: skip
  return {
    'text-only': [stage('text', {'text': 1.0}, steps), stage('more_text', {'text': 1.0}, steps), cooldown],
    'balanced-only': [beginning, stage('more_balanced', balanced, steps), cooldown],
    'balanced-to-text': [beginning, towards_text, cooldown],
    'code-to-text': [stage('code', {'code': 1.0}, steps), towards_text, cooldown],
  }


def model(width: int) -> codemix.ModelConfig:
  return codemix.ModelConfig(vocab_size=259, layers=2, width=width, ffn_width=2 * width, heads=4, head_dim=width // 4)


def study_of(
  recipes: Mapping[str, Sequence[codemix.Stage]] | None = None,
  sources: Sequence[str] = ('text', 'code'),
  seeds: Mapping[str, int] | None = None,
  widths: Mapping[str, int] | None = None,
  claims: Mapping[str, codemix.Claim] = MappingProxyType({}),
  evaluate: Sequence[str] = (),
  baselines: Mapping[str, str] = MappingProxyType({}),
) -> codemix.Study:
  """The study that `write_fake_study` writes of the same arguments."""
  return codemix.Study(
    name='code in pre-training, in miniature',
    note='The four recipes of the paper with its stage ratios, <small> & quick.',
    recipes={
      name: codemix.Recipe(
        stages=tuple(stages),
        model=model((widths or {}).get(name, 256)),
        length=LENGTH,
        seed=(seeds or {}).get(name, 0),
        max_epochs=1e6,
        baseline=baselines.get(name),
        description=' then '.join(stage.name for stage in stages),
      )
      for name, stages in (recipes or paper_recipes()).items()
    },
    validation=tuple(sources),
    evaluate=tuple(evaluate),
    claims=claims,
  )


def write_fake_study(
  folder: Path,
  recipes: Mapping[str, Sequence[codemix.Stage]] | None = None,
  sources: Sequence[str] = ('text', 'code'),
  documents: int = 40,
  evaluated: bool = True,
  seed: int = 0,
  seeds: Mapping[str, int] | None = None,
  widths: Mapping[str, int] | None = None,
  seed_noise: float = 0.004,
  kinds: Mapping[str, str] = KINDS,
  claims: Mapping[str, codemix.Claim] = MappingProxyType({}),
  evaluate: Sequence[str] = (),
  baselines: Mapping[str, str] = MappingProxyType({}),
) -> Path:
  """Writes `<folder>/study.json` and its stages, and data to plan on beside the folder.

  Args:
    recipes: name to stages, the first is the baseline; default `paper_recipes()`.
    sources: the validation sources, names in SOURCES.
    documents: validation documents of each source.
    evaluated: with False, the stages are planned only: no metrics, no evaluation, no samples.
    seed: of the documents and of all that is made up.
    seeds: training seeds by recipe; 0 if none is given.
    widths: of the models by recipe; 256 if none is given. Wider ones are better by a tenth a doubling.
    seed_noise: standard deviation of the bits per byte over training seeds, as a fraction.
    kinds: declared kinds by source.
    claims: registered before anything is trained.
    baselines: `Recipe.baseline` by recipe.
    evaluate: benchmarks that the claims may name; their results are not written (`fake_benchmarks`).
  """
  study = study_of(recipes, sources, seeds, widths, claims, evaluate, baselines)
  plan = plan_study(study, _prepare(folder.with_name(f'{folder.name}-data')))
  ready = Ready(plan, {})
  registered = register_claims(folder, study.name, claim_records(ready, folder))
  for stage_plan in plan.stages():
    place = stage_folder(folder, stage_plan)
    write_plan(place, stage_plan, plan.recipe_of(stage_plan).model)
    if evaluated:
      _write_training(plan, stage_plan, place, seed)
      _write_evaluation(stage_plan, place, sources, documents, seed, seed_noise)
  record = registered | describe_study(ready, codemix.Runtime(output=str(folder)), 'codemix study --gin_file=studies/smoke.gin')
  write_json(folder / 'study.json', {**record, 'kinds': {s: kinds[s] for s in SOURCES if s in kinds}})
  return folder


def stage_folders(study: Path) -> list[Path]:
  """The folders of a study's stages, by name."""
  return sorted((study / 'stages').iterdir())


def named(study: Path, name: str) -> Path:
  """The first folder of a stage of this name."""
  return next(folder for folder in stage_folders(study) if folder.name.startswith(name))


def scores_of(study: Path, folder: str, source: str) -> dict[str, float]:
  """What a stage was scored with."""
  return json.loads((study / 'stages' / folder / 'evaluation' / 'held_out' / f'{source}.json').read_text())['scores']


def items_of(study: Path, folder: str, source: str) -> dict[str, np.ndarray]:
  """The scores of each document."""
  return read_results(study / 'stages' / folder)[f'{HELD_OUT_PREFIX}{source}'].items()


def edit(path: Path, change: Callable[[Any], object]) -> None:
  """Changes a JSON file in place, with its digest if it is of an evaluation."""
  value = json.loads(path.read_text())
  change(value)
  if isinstance(value, dict) and {'scores', 'digest'} <= value.keys():
    value['digest'] = record_digest(value)
  path.write_text(json.dumps(value))


def _prepare(root: Path) -> Data:
  """A few rows of each source: only their number is looked at."""
  data = Data(directory=str(root), tokenizer='bytes')
  generator = np.random.default_rng(0)
  for name in SOURCES:
    texts = [(generator.integers(3, 259, DOCUMENT_TOKENS), DOCUMENT_TOKENS) for _ in range(60)]
    write_store(data, name, 'train', texts)
  return data


def _random(seed: int, *of: str | int) -> np.random.Generator:
  return np.random.default_rng([seed, *(int(part[:8], 16) if isinstance(part, str) else part for part in of)])


def _loss(source: str, seen: Mapping[str, float], settled: float) -> float:
  """Nats per token after `seen` tokens of each source; `settled` in [0, 1] is how far the rate fell."""
  floor, span, _ = SOURCES[source]
  others = sum(tokens for other, tokens in seen.items() if other != source)
  useful = seen.get(source, 0) + 0.12 * others
  return floor + span * (1 + useful / 40_000) ** -0.32 - 0.06 * settled


def _seen(plans: Sequence[StagePlan]) -> dict[str, float]:
  """Tokens of each source in these stages; a source that a later stage lacks fades by half."""
  seen: dict[str, float] = {}
  for plan in plans:
    drawn = {draw.source: draw.loss_tokens for draw in plan.draws}
    seen = {s: drawn.get(s, 0) + seen.get(s, 0) * (1 if s in drawn else 0.5) for s in {**seen, **drawn}}
  return seen


def _write_training(plan: StudyPlan, stage_plan: StagePlan, folder: Path, seed: int) -> None:
  generator = _random(seed, stage_plan.hash)
  names = [draw.source for draw in stage_plan.draws]
  shares = [draw.share for draw in stage_plan.draws]
  seen = _seen(stage_plan.lineage()[:-1])
  metrics, timing = [], []
  # As many rows of each source as the ledger has.
  rows_of_stage = _random(1, stage_plan.hash).permutation(np.repeat(np.arange(len(names)), [draw.rows for draw in stage_plan.draws]))
  for number, rate in enumerate(stage_plan.rates.tolist(), 1):
    source_B = rows_of_stage[(number - 1) * BATCH : number * BATCH]
    seen = {name: seen.get(name, 0) + share * BATCH * LENGTH for name, share in zip(names, shares, strict=True)} | {
      name: tokens for name, tokens in seen.items() if name not in names
    }
    losses = np.array([_loss(name, seen, 1 - rate / stage_plan.rates.max()) for name in names])
    noise = 0.12 * generator.standard_normal(len(names))
    values = {
      'tokens': np.full(BATCH, LENGTH), 'nll': (losses + noise)[source_B] * LENGTH, 'source': source_B,
      'loss': np.dot(losses + noise, shares), 'grad_norm': 1.2 + 0.1 * generator.standard_normal(),
    }  # fmt: skip
    rows_of = {name: source_B == index for index, name in enumerate(names) if (source_B == index).any()}
    step = stage_plan.first_step + number
    metrics.append(step_record(step, number, number * BATCH * LENGTH, rate, values, rows_of))
    timing.append({'step': step, 'seconds': 0.5, 'tokens_per_second': BATCH * LENGTH / 0.5})
  # A third of the steps was trained twice, because a process was killed.
  first, steps = stage_plan.first_step, stage_plan.steps
  time = [
    {'from': first, 'step': first + steps // 3, 'seconds': {'compile': 3.0, 'step': 0.4 * steps // 3}},
    {'from': first, 'step': first + steps, 'seconds': {'step': 0.4 * steps, 'data': 1.0}},
    {'seconds': {'evaluation': 2.0}},
  ]
  for name, records in (('metrics', metrics), ('timing', timing), ('time', time)):
    lines = JsonLines(folder / f'{name}.jsonl', after_step=0)
    lines.append(*records)
    lines.close()
  realised = {draw.source: {key: getattr(draw, key) for key in COUNTED} for draw in stage_plan.draws}
  parent = stage_folder(folder.parents[1], stage_plan.parent) if stage_plan.parent else None
  write_result(folder, stage_plan, Drawn(realised), f'checkpoint of {stage_plan.hash}', parent)


def _write_evaluation(
  stage_plan: StagePlan, folder: Path, sources: Sequence[str], documents: int, seed: int, seed_noise: float
) -> None:
  seen = _seen(stage_plan.lineage())
  luck = 0.0
  if stage_plan.seed:  # the first seed stays where the loss says
    luck = seed_noise * float(_random(0, stage_plan.hash).standard_normal())
  size = 0.9 ** math.log2(stage_plan.identity['model']['width'] / 256)
  write = lambda name, results: write_results(folder, name, stage_plan.last_step, {'checkpoint': stage_plan.hash}, results)
  for index, source in enumerate(sources):
    # The documents are the same for every stage; only the model's own noise is not.
    shared, own = _random(seed, index), _random(seed, index, stage_plan.hash)
    sizes = np.ceil(shared.lognormal(6.2, 0.9, documents)).astype(np.int64)
    hardness = shared.gamma(30, 1 / 30, documents)
    tokens = np.maximum(1, (sizes / SOURCES[source][2]).astype(np.int64))
    nats = tokens * _loss(source, seen, 1.0) * size * (1 + luck) * hardness * own.gamma(900, 1 / 900, documents)
    items = {'nats': nats, 'tokens': tokens, 'bytes': sizes}
    write(f'{HELD_OUT_PREFIX}{source}', Results(summary(**items), items))
  name = stage_plan.name
  samples = [
    {'prompt': 'def add(a, b):\n  ', 'method': 'greedy', 'text': f'return a + b  # {name} & <eos>'},
    {'prompt': 'The river', 'method': 'temperature 0.8', 'text': f' ran on past the {name} mill,\nand on.'},
  ]  # fmt: skip
  write(SAMPLES, Results(samples=samples))
