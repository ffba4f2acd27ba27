"""Learning curves: scores and bits per byte at every checkpoint that was evaluated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from codemix import formatting
from codemix.evaluation.results import HELD_OUT_PREFIX, StoredResults
from codemix.report import palette, svg
from codemix.report.content import Content, Model
from codemix.report.curves import step_axis
from codemix.report.palette import Paint
from codemix.report.plots import spread_labels
from codemix.report.suite import TASKS, Score
from codemix.report.svg import Picture

# Arms differ in the mark too, so that they are told apart without colours.
MARKS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', '*')


@dataclasses.dataclass(frozen=True)
class Curve:
  """What is drawn over the steps.

  Attributes:
    parts: (evaluator, name of its score, weight); the sum is drawn.
    percent: whether it is a fraction to show in percent.
    guess: what chance gives; NaN if that is not known.
  """

  title: str
  parts: Sequence[tuple[str, str, float]]
  label: str
  percent: bool
  guess: float = math.nan

  @property
  def is_of_a_task(self) -> bool:
    return self.percent and len(self.parts) == 1 and self.parts[0][0] == f'{TASKS}{self.title}'

  def value(self, results: Mapping[str, StoredResults]) -> float:
    """Of one checkpoint; NaN unless all parts are there."""
    return math.fsum(
      weight * (results[name].scores.get(score, math.nan) if name in results else math.nan) for name, score, weight in self.parts
    )


@dataclasses.dataclass(frozen=True)
class Line:
  """One run: (step of the run, value) of each checkpoint, ascending."""

  arm: str
  seed: str
  points: Sequence[tuple[int, float]]


def learning_curves(content: Content) -> tuple[list[Picture], list[Picture]]:
  """A picture of each curve with two checkpoints or more in some run; models are not drawn together.

  Call within `svg.drawing()`.

  Returns:
    Those of held-out sources and aggregates, and those of single benchmarks.
  """
  whole, single = [], []
  for number, model in enumerate(content.models):
    of = f' – {model.label}' if len(content.models) > 1 else ''
    for index, curve in enumerate(_curves(content)):
      lines = _lines(content, model, curve)
      if any(len(line.points) > 1 for line in lines):
        (single if curve.is_of_a_task else whole).append(_draw(content, curve, lines, of, f'learning{index}-{number}'))
  return whole, single


def _curves(content: Content) -> list[Curve]:
  """The aggregates; with checkpoints before the stages' ends also held-out sources and each benchmark."""
  found = [
    Curve(source, [(f'{HELD_OUT_PREFIX}{source}', 'bits_per_byte', 1.0)], 'bits per byte, lower is better', False)
    for source in content.study.validation_sources if content.has_steps
  ]  # fmt: skip
  names = {id(benchmark.task): benchmark.name for benchmark in content.suite.benchmarks}
  parts = lambda score: [(f'{TASKS}{names[id(task)]}', 'score', weight) for task, weight in score.parts]
  averages: list[tuple[str, Score, float]] = [(a.label, a.score, a.baseline('chance')) for a in content.suite.aggregates]
  tasks = [(b.name, b.score, b.chance) for b in content.suite.benchmarks if b.has_score and content.has_steps]
  return found + [Curve(name, parts(score), 'score, higher is better', True, chance) for name, score, chance in averages + tasks]


def _lines(content: Content, model: Model, curve: Curve) -> list[Line]:
  lines = []
  for arm in model.arms:
    for recipe in arm.recipes:
      stages = [content.study.stages[folder] for folder in content.study.recipes[recipe].stages]
      at = [(step, results) for stage in stages for step, results in [*stage.steps.items(), (_end(stage.results), stage.results)]]
      points = [(step, value) for step, results in at if formatting.known(value := curve.value(results))]
      if points:
        lines.append(Line(arm.name, str(content.study.recipes[recipe].seed), points))
  return lines


def _end(results: Mapping[str, StoredResults]) -> int:
  return max((stored.step for stored in results.values()), default=0)


def _draw(content: Content, curve: Curve, lines: Sequence[Line], of: str, name: str) -> Picture:
  scale = 100 if curve.percent else 1
  # A page may hold dozens of these, so their margins are fixed.
  drawn = svg.figure(430, max(250, 80 + 16 * len({line.arm for line in lines})), margins=(58, 154, 44, 26))
  axes = drawn.add_subplot()
  marks = {arm: MARKS[number % len(MARKS)] for number, arm in enumerate(dict.fromkeys(line.arm for line in lines))}
  for line in lines:
    paint: Paint = content.arm_paints[line.arm]
    steps, values = zip(*line.points, strict=True)
    style = {'color': paint.light, 'linestyle': paint.linestyle, 'linewidth': 1.2}
    axes.plot(steps, [scale * value for value in values], marker=marks[line.arm], markersize=4.5, markerfacecolor='none', **style)
  if formatting.known(curve.guess):
    axes.axhline(scale * curve.guess, color=palette.MUTED, linewidth=1, linestyle=(0, (2, 2)))
  axes.set_xlim(left=0)
  axes.locator_params(axis='y', nbins=6)
  axes.set_ylabel(curve.label + (' (%)' if curve.percent else ''))
  axes.set_title(svg.short(f'{curve.title}{of}', 52))
  step_axis(axes)
  ends = {line.arm: scale * line.points[-1][1] for line in lines}  # of an arm's last seed
  low, high = axes.get_ylim()
  wanted = [(value - low) / (high - low) if high > low else 0.5 for value in ends.values()]
  for arm, height in zip(ends, spread_labels(wanted, min(15 / 200, 1 / len(ends))), strict=True):
    text = {'va': 'center', 'fontsize': 10, 'color': content.arm_paints[arm].light}
    axes.annotate(svg.short(arm, 20), xy=(1.08, height), xycoords='axes fraction', annotation_clip=False, **text)
    mark = {'color': content.arm_paints[arm].light, 'markersize': 4.5, 'markerfacecolor': 'none'}
    axes.plot([1.045], [height], marks[arm], transform=axes.transAxes, clip_on=False, **mark)
  rows = [(line.arm, line.seed, step, value) for line in lines for step, value in line.points]
  return svg.picture(drawn, name, _spoken(curve, lines, of), ('arm', 'seed', 'step', 'value'), rows)


def _spoken(curve: Curve, lines: Sequence[Line], of: str) -> str:
  form = formatting.percent if curve.percent else formatting.bits
  guess = f'; chance is {form(curve.guess)}' if formatting.known(curve.guess) else ''
  told = '; '.join(
    f'{line.arm} from {form(line.points[0][1])} at step {line.points[0][0]} to {form(line.points[-1][1])} at step {line.points[-1][0]}' for line in lines
  )
  what = 'Score' if curve.percent else 'Bits per byte'
  return f'{what} on {curve.title}{of} by step: {told}{guess}.'
