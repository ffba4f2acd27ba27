"""Which pictures a report holds, and what each of them draws and says.

Models are never drawn together: a larger model's gain is not an effect of the mixture.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.report import curves, judged_pairs, learning, paper_figures, plots, shares, svg
from codemix.report.content import Content, Model
from codemix.report.curves import Curves
from codemix.report.plots import Dots, Path
from codemix.report.svg import Picture
from codemix.studies.arms import Arm


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Empty if the study has nothing to show (yet)."""

  plane: Sequence[Picture]  # text v code: from stage to stage, and after the last stage
  shares: Sequence[Picture]  # by the share of code in a stage: held-out bits per byte, scores of groups of tasks
  points: Sequence[Sequence[Picture]]  # by source: bits per byte, change against the baseline
  sources: Sequence[Picture]  # training loss on one source, all arms
  learning: Sequence[Picture]  # aggregates and held-out bits per byte over checkpoints, all arms
  tasks: Sequence[Picture]  # scores of single benchmarks over checkpoints, all arms
  paper: Mapping[str, Sequence[Picture]]  # by its figure: ours and the paper's models side by side, as in its Figures 2, 3 and 5 to 9
  arms: Sequence[Picture]  # loss, loss by source, rate, gradient norm and throughput of one arm


def draw(content: Content, pixels: bool = True) -> Pictures:
  """All pictures of the page.

  Args:
    pixels: whether they have a `png`.
  """
  with svg.drawing(pixels):
    plane, points, losses = [], [], []
    for number, model in enumerate(content.models):
      of = f' – {model.label}' if len(content.models) > 1 else ''
      plane += _plane(content, model, number, of)
      for index, source in enumerate(content.study.validation_sources):
        points += [pair] if (pair := _points(content, model, source, f'{index}-{number}', of)) else []
      losses += _source_losses(content, model, number, of)
    return Pictures(plane, shares.draw(content), points, losses, *learning.learning_curves(content), paper_figures.draw(content) | judged_pairs.draw(content), [] if content.is_large else training(content))


def _plane(content: Content, model: Model, number: int, of: str) -> list[Picture]:
  text, code = content.pooled.get('text'), content.pooled.get('code')
  on_both = lambda rows: [row for row in rows if text in row.bits and code in row.bits]
  paths = []
  for arm in model.arms:
    if rows := on_both(content.rows_of(arm)):
      runs = [on_both(content.recipe_rows(recipe)) for recipe in arm.recipes]
      ways = [([row.bits[text].value for row in run], [row.bits[code].value for row in run]) for run in runs if run]
      last = rows[-1]
      paths.append(Path(arm.name, content.arm_paints[arm.name], ways, last.bits[text], last.bits[code], last.last))
  if not paths:
    return []
  ends = '; '.join(
    f'{path.name} ends at {formatting.bits(path.text.value)} on text and {formatting.bits(path.code.value)} on code'
    for path in paths
  )
  alt = f'Bits per byte on text v on code after each stage: {ends}.'
  last_alt = f'Bits per byte after the last stage, with 95% intervals: {ends}.'
  return [
    plots.trajectories(paths, f'From stage to stage{of}', f'stages{number}', alt),
    plots.final_points(paths, f'The last points{of}', f'last{number}', last_alt),
  ]


def _points(content: Content, model: Model, source: str, index: str, of: str) -> list[Picture]:
  bits, changes = [], []
  for arm in model.arms:
    rows = [row for row in content.rows_of(arm) if source in row.bits]
    if not rows:
      continue
    last, paint = rows[-1], content.arm_paints[arm.name]
    seeds = [row for _, row in content.seed_rows(arm, last.position)]
    own = [row.bits[source].value for row in seeds if source in row.bits]
    bits.append(Dots(arm.name, paint, last.bits[source], own, [row.bits[source].value for row in rows[:-1]]))
    if source in last.changes and not last.is_baseline:
      own = [row.changes[source].value for row in seeds if source in row.changes]
      changes.append(Dots(arm.name, paint, last.changes[source], own))
  if not bits:
    return []
  alt = f'Bits per byte on {source}{of}: {_spoken(bits, formatting.bits)}.'
  drawn = [plots.point_plot(bits, f'{source}{of}', 'bits per byte, lower is better', f'bits{index}', alt)]
  if changes:
    alt = f'Change on {source} against the baseline{of}: {_spoken(changes, formatting.signed_percent)}.'
    label = 'change against the baseline, left is better'
    drawn.append(plots.point_plot(changes, f'{source}: change{of}', label, f'change{index}', alt, zero=True))
  return drawn


def _spoken(dots: Sequence[Dots], form: Callable[[float], str]) -> str:
  def one(estimate: Estimate) -> str:
    between = f' ({form(estimate.low)} to {form(estimate.high)})' if estimate.has_interval else ''
    return f'{form(estimate.value)}{between}'

  return '; '.join(f'{row.name} {one(row.last)}' for row in dots)


def _runs(content: Content, arm: Arm) -> list[Curves]:
  """The training of each seed as far as it is planned, the longest first."""
  runs = []
  for recipe in arm.recipes:
    stages = [content.study.stages[folder] for folder in content.study.recipes[recipe].stages]
    stages = list(itertools.takewhile(lambda stage: stage.plan, stages))
    if stages:
      *starts, steps = itertools.accumulate((stage.plan['steps'] for stage in stages), initial=0)
      runs.append(Curves(stages, starts, steps))
  return sorted(runs, key=lambda run: -run.steps)


def _drawn_on(runs: Sequence[Curves], source: str) -> bool:
  return any(f'loss/{source}' in stage.metrics for run in runs for stage in run.stages)


def _source_losses(content: Content, model: Model, number: int, of: str) -> list[Picture]:
  drawn = []
  runs = {arm.name: _runs(content, arm) for arm in model.arms}
  for index, source in enumerate(content.study.training_sources):
    if users := {name: of_arm for name, of_arm in runs.items() if _drawn_on(of_arm, source)}:
      alt = f'Smoothed training loss on {source} by step{of}, for {", ".join(users)}.'
      name = f'source{index}-{number}'
      drawn.append(curves.source_losses(source, users, content.arm_paints, f'{source}{of}', name, alt))
  return drawn


def training(content: Content) -> list[Picture]:
  """The curves of each arm. Call within `svg.drawing()`."""
  drawn = []
  for index, arm in enumerate(content.arms):
    if runs := _runs(content, arm):
      sources = {source: paint for source, paint in content.source_paints.items() if _drawn_on(runs, source)}
      paint = content.arm_paints[arm.name]
      drawn.append(curves.training_curves(arm.name, runs, paint, sources, f'arm{index}', _curves_alt(arm.name, runs)))
  return drawn


def _curves_alt(arm: str, runs: Sequence[Curves]) -> str:
  losses = [stage.metrics['loss'].iloc[-1] for stage in runs[0].stages if 'loss' in stage.metrics]
  ends = f', {losses[-1]:.2f} nats per token at the last step' if losses else ', not trained yet'
  seeds = f', {len(runs)} seeds' if len(runs) > 1 else ''
  return (
    f'{arm}: training loss, loss by source, learning rate, norm of the gradient and tokens per second '
    f'over {runs[0].steps} steps{seeds}{ends}.'
  )
