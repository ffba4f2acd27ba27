"""Which pictures a report holds: takes the numbers of a study to `figures`, with a text for each.

Models are never drawn together: what a larger one gains is not what a mixture does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.report import plots, svg
from codemix.report.arms import Arm
from codemix.report.gather import POOLED, Content, Model
from codemix.report.palette import Paint
from codemix.report.plots import Curves, Dots, Path
from codemix.report.svg import Picture


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Empty where the study has nothing to show (yet)."""

  plane: Sequence[Picture]  # text v code: from stage to stage, and after the last stage
  points: Sequence[Sequence[Picture]]  # by source: bits per byte, change against the baseline
  sources: Sequence[Picture]  # training loss on one source, all arms
  arms: Sequence[Picture]  # loss, loss by source, rate, gradient norm and throughput of one arm


def draw(content: Content, arms: Mapping[str, Paint], sources: Mapping[str, Paint]) -> Pictures:
  """Args: arms, sources: paints by name."""
  with svg.drawing():
    plane, points, losses = [], [], []
    for number, model in enumerate(content.models):
      plane += _plane(content, model, number, arms)
      points += [pair for source in content.study.validation_sources if (pair := _points(content, model, number, source, arms))]
      losses += _source_losses(content, model, number, arms)
    return Pictures(plane, points, losses, _training(content, arms, sources))


def _of(content: Content, model: Model) -> str:
  """What a title says of the model: nothing where there is one."""
  return f' – {model.label}' if len(content.models) > 1 else ''


def _plane(content: Content, model: Model, number: int, paints: Mapping[str, Paint]) -> list[Picture]:
  text, code = POOLED['text'], POOLED['code']
  paths = []
  for arm in model.arms:
    rows = [row for row in content.rows_of(arm) if text in row.bits and code in row.bits]
    if rows:
      ways = [_way(content, recipe) for recipe in arm.recipes]
      last = rows[-1]
      ways = [way for way in ways if way[0]]
      paths.append(Path(arm.name, paints[arm.name], ways, last.bits[text], last.bits[code], last.last))
  if not paths:
    return []
  ends = '; '.join(
    f'{path.name} ends at {formatting.bits(path.text.value)} on text and {formatting.bits(path.code.value)} on code'
    for path in paths
  )
  of = _of(content, model)
  return [
    plots.trajectories(
      paths, f'From stage to stage{of}', f'stages{number}', f'Bits per byte on text v on code after each stage: {ends}.'
    ),
    plots.final_points(
      paths, f'The last points{of}', f'last{number}', f'Bits per byte after the last stage, with 95% intervals: {ends}.'
    ),
  ]


def _way(content: Content, recipe: str) -> tuple[list[float], list[float]]:
  text, code = POOLED['text'], POOLED['code']
  rows = [row for row in content.recipe_rows(recipe) if text in row.bits and code in row.bits]
  return [row.bits[text].value for row in rows], [row.bits[code].value for row in rows]


def _points(
  content: Content, model: Model, number: int, source: str, paints: Mapping[str, Paint]
) -> list[Picture]:
  bits, changes = [], []
  for arm in model.arms:
    rows = [row for row in content.rows_of(arm) if source in row.bits]
    if not rows:
      continue
    last = rows[-1]
    seeds = [row for _, row in content.seed_rows(arm, last.position)]
    own = [row.bits[source].value for row in seeds if source in row.bits]
    bits.append(Dots(arm.name, paints[arm.name], last.bits[source], own, [row.bits[source].value for row in rows[:-1]]))
    if source in last.changes and not last.is_baseline:
      own = [row.changes[source].value for row in seeds if source in row.changes]
      changes.append(Dots(arm.name, paints[arm.name], last.changes[source], own))
  if not bits:
    return []
  of = _of(content, model)
  index = f'{content.study.validation_sources.index(source)}-{number}'
  values = _spoken(bits, formatting.bits)
  label = 'bits per byte, lower is better'
  drawn = [plots.point_plot(bits, f'{source}{of}', label, f'bits{index}', f'Bits per byte on {source}{of}: {values}.')]
  if changes:
    spoken = _spoken(changes, formatting.signed_percent)
    alt = f'Change on {source} against the baseline{of}: {spoken}.'
    label = 'change against the baseline, left is better'
    drawn.append(plots.point_plot(changes, f'{source}: change{of}', label, f'change{index}', alt, zero=True))
  return drawn


def _spoken(dots: Sequence[Dots], form) -> str:
  def one(estimate: Estimate) -> str:
    between = f' ({form(estimate.low)} to {form(estimate.high)})' if estimate.has_interval else ''
    return f'{form(estimate.value)}{between}'

  return '; '.join(f'{row.name} {one(row.last)}' for row in dots)


def _curves(content: Content, recipe: str) -> Curves | None:
  """The training of a recipe as far as it is planned; None before its first stage is."""
  stages = []
  for row in content.recipe_rows(recipe):
    if row.stage.plan is None:
      break
    stages.append(row.stage)
  if not stages:
    return None
  starts = [sum(stage.plan['steps'] for stage in stages[:index]) for index in range(len(stages))]
  return Curves(
    stages=[stage.name for stage in stages],
    starts=starts,
    steps=starts[-1] + stages[-1].plan['steps'],
    metrics=[stage.metrics for stage in stages],
    rates=[stage.rates for stage in stages],
    timing=[stage.timing for stage in stages],
  )


def _runs(content: Content, arm: Arm) -> list[Curves]:
  """The training of each seed, the one that got furthest first."""
  curves = [_curves(content, recipe) for recipe in arm.recipes]
  return sorted((c for c in curves if c is not None), key=lambda c: -c.steps)


def _drawn_on(runs: Sequence[Curves], source: str) -> bool:
  return any(f'loss/{source}' in metrics for curves in runs for metrics in curves.metrics)


def _source_losses(content: Content, model: Model, number: int, paints: Mapping[str, Paint]) -> list[Picture]:
  drawn = []
  runs = {arm.name: _runs(content, arm) for arm in model.arms}
  of = _of(content, model)
  for index, source in enumerate(content.study.training_sources):
    users = {name: curves for name, curves in runs.items() if _drawn_on(curves, source)}
    if users:
      alt = f'Smoothed training loss on {source} by step{of}, for {", ".join(users)}.'
      drawn.append(plots.source_losses(source, users, paints, f'{source}{of}', f'source{index}-{number}', alt))
  return drawn


def _training(content: Content, arms: Mapping[str, Paint], sources: Mapping[str, Paint]) -> list[Picture]:
  drawn = []
  for index, arm in enumerate(content.arms):
    if runs := _runs(content, arm):
      drawn_on = {source: paint for source, paint in sources.items() if _drawn_on(runs, source)}
      alt = _curves_alt(arm.name, runs)
      drawn.append(plots.training_curves(arm.name, runs, arms[arm.name], drawn_on, f'arm{index}', alt))
  return drawn


def _curves_alt(arm: str, runs: Sequence[Curves]) -> str:
  losses = [metrics['loss'].iloc[-1] for metrics in runs[0].metrics if 'loss' in metrics]
  ends = f', {losses[-1]:.2f} nats per token at the last step' if losses else ', not trained yet'
  seeds = f', {len(runs)} seeds' if len(runs) > 1 else ''
  return (
    f'{arm}: training loss, loss by source, learning rate, norm of the gradient and tokens per second '
    f'over {runs[0].steps} steps{seeds}{ends}.'
  )
