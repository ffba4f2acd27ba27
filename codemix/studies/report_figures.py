"""Which pictures a report holds: takes the numbers of a study to `figures`, with a text for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from codemix.evaluation.statistics import Estimate
from codemix.studies import figures, formatting, svg
from codemix.studies.figures import Curves, Dots, Path
from codemix.studies.palette import Paint
from codemix.studies.report_content import POOLED, Content


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Inline SVGs. Empty where the study has nothing to show (yet)."""

  plane: Sequence[str]  # text v code: from stage to stage, and after the last stage
  points: Mapping[str, Sequence[str]]  # by source: bits per byte, change against the baseline
  sources: Sequence[str]  # training loss on one source, all recipes
  recipes: Mapping[str, str]  # loss, loss by source and learning rate of one recipe


def draw(content: Content, recipes: Mapping[str, Paint], sources: Mapping[str, Paint]) -> Pictures:
  with svg.drawing():
    curves = {name: _curves(content, name) for name in content.study.recipes}
    curves = {name: curve for name, curve in curves.items() if curve is not None}
    return Pictures(
      plane=_plane(content, recipes),
      points={
        source: _points(content, source, index, recipes)
        for index, source in enumerate(content.study.validation_sources)
      },
      sources=_source_losses(content, curves, recipes),
      recipes={
        name: figures.recipe_curves(
          name, curve, recipes[name], _drawn_on(curve, sources), f'recipe{index}', _curves_alt(name, curve)
        )
        for index, (name, curve) in enumerate(curves.items())
      },
    )


def _plane(content: Content, paints: Mapping[str, Paint]) -> list[str]:
  text, code = POOLED['text'], POOLED['code']
  paths = []
  for recipe in content.study.recipes:
    rows = [row for row in content.recipe_rows(recipe) if text in row.bits and code in row.bits]
    if rows:
      ways = ([row.bits[text] for row in rows], [row.bits[code] for row in rows])
      paths.append(Path(recipe, paints[recipe], *ways, finished=rows[-1].last))
  if not paths:
    return []
  ends = '; '.join(
    f'{path.recipe} ends at {formatting.bits(path.text[-1].value)} on text and '
    f'{formatting.bits(path.code[-1].value)} on code'
    for path in paths
  )
  return [
    figures.trajectories(paths, 'plane', f'Bits per byte on text v on code after each stage: {ends}.'),
    figures.final_points(paths, 'last', f'Bits per byte after the last stage, with intervals: {ends}.'),
  ]


def _points(content: Content, source: str, index: int, paints: Mapping[str, Paint]) -> list[str]:
  bits, changes = [], []
  for recipe in content.study.recipes:
    rows = [row for row in content.recipe_rows(recipe) if source in row.bits]
    if not rows:
      continue
    earlier = [row.bits[source].value for row in rows[:-1]]
    bits.append(Dots(recipe, paints[recipe], rows[-1].bits[source], earlier))
    if source in rows[-1].changes and recipe != content.study.baseline:
      changes.append(Dots(recipe, paints[recipe], rows[-1].changes[source]))
  values = _spoken(bits, formatting.bits)
  label = 'bits per byte, lower is better'
  drawn = [
    figures.point_plot(bits, source, label, f'bits{index}', f'Bits per byte on {source}: {values}.')
  ]
  if changes:
    alt = f'Change on {source} against {content.study.baseline}: {_spoken(changes, formatting.signed_percent)}.'
    label = f'change against {content.study.baseline}, left is better'
    drawn.append(figures.point_plot(changes, f'{source}: change', label, f'change{index}', alt, zero=True))
  return drawn


def _spoken(dots: Sequence[Dots], form) -> str:
  def one(estimate: Estimate) -> str:
    between = f' ({form(estimate.low)} to {form(estimate.high)})' if estimate.has_interval else ''
    return f'{form(estimate.value)}{between}'

  return '; '.join(f'{row.recipe} {one(row.last)}' for row in dots if row.last)


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
  )


def _drawn_on(curves: Curves, sources: Mapping[str, Paint]) -> dict[str, Paint]:
  return {s: paint for s, paint in sources.items() if any(f'loss/{s}' in m for m in curves.metrics)}


def _source_losses(
  content: Content, curves: Mapping[str, Curves], paints: Mapping[str, Paint]
) -> list[str]:
  drawn = []
  for index, source in enumerate(content.study.training_sources):
    users = {n: c for n, c in curves.items() if any(f'loss/{source}' in m for m in c.metrics)}
    if users:
      alt = f'Smoothed training loss on {source} by step, for {", ".join(users)}.'
      drawn.append(figures.source_losses(source, users, paints, f'source{index}', alt))
  return drawn


def _curves_alt(recipe: str, curves: Curves) -> str:
  losses = [metrics['loss'].iloc[-1] for metrics in curves.metrics if 'loss' in metrics]
  ends = f', {losses[-1]:.2f} nats per token at the last step' if losses else ', not trained yet'
  return f'{recipe}: training loss, loss by source and learning rate over {curves.steps} steps{ends}.'
