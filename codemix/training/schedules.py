"""Learning-rate schedules: a stage's whole curve is computed before its first step.

The curves are Optax's (a test holds them to it), in NumPy: float64, rounded
once, so the same on every host, and nothing is compiled for each length of a
stage. What is ours is how a stage's curve meets the one before it: `start` is
the rate at which the previous stage ended, given where the hand-off says that
the rate goes on.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import numpy as np

from codemix.checked import Above, Below, From, Share, Tokens, checked
from codemix.errors import UserError

Rate = Annotated[float, From(0)]
Steps = Annotated[int, From(0), 'steps']


@dataclasses.dataclass(frozen=True)
@checked
class WarmupCosine:
  """Linear warm-up to `peak`, then a cosine to `floor` at the end of the stage.

  Attributes:
    peak: highest rate.
    warmup_steps: steps of the warm-up; the study used 1325 for 200B tokens.
    warmup_fraction: the same as a fraction of the curve's steps (1325 / 47684
      = 0.0278); one of the two is given.
    floor: last rate.
    horizon: tokens over which the curve is laid, where it goes on into the
      stages after this one; None for the stage's own.
  """

  peak: Annotated[float, Above(0)]
  warmup_steps: Steps | None = None
  warmup_fraction: Annotated[float, From(0), Below(1)] | None = None
  floor: Rate = 0.0
  horizon: Tokens | None = None

  def curve(self, steps: int, start: float | None) -> np.ndarray:
    warmup = _warmup(self, steps)
    wave = _cosine(self.peak, self.floor, steps - warmup)
    return _joined(_line(start or 0.0, self.peak, warmup), wave)


@dataclasses.dataclass(frozen=True)
@checked
class LinearTo:
  """A straight line from the current rate, or from `start`, to an absolute `floor`.

  The study's cooldown: linear to 1e-6.

  Attributes:
    floor: last rate.
    start: first rate; None for the rate at which the stage before ended.
    horizon: as of `WarmupCosine`.
  """

  floor: Rate = 1e-6
  start: Rate | None = None
  horizon: Tokens | None = None

  def curve(self, steps: int, start: float | None) -> np.ndarray:
    first = self.start if self.start is not None else start
    if first is None:
      raise UserError(
        "LinearTo starts from the current rate, and this stage has none: set LinearTo.start, or Handoff.rate = 'continue'."
      )
    # The line passes through the rate before it, so the first step is already on the way down.
    return _joined(_line(self.floor, first, steps)[::-1])


@dataclasses.dataclass(frozen=True)
@checked
class Constant:
  """One rate throughout, after an optional linear warm-up.

  Attributes:
    rate: None for the rate at which the stage before ended.
    warmup_steps: steps of the warm-up.
    horizon: as of `WarmupCosine`.
  """

  rate: Rate | None = None
  warmup_steps: Steps = 0
  horizon: Tokens | None = None

  def curve(self, steps: int, start: float | None) -> np.ndarray:
    rate = self.rate if self.rate is not None else start
    if rate is None:
      raise UserError(
        "Constant keeps the current rate, and this stage has none: set Constant.rate, or Handoff.rate = 'continue'."
      )
    return _joined(_line(start or 0.0, rate, self.warmup_steps), np.full(steps, rate))[:steps]


@dataclasses.dataclass(frozen=True)
@checked
class WarmupStableDecay:
  """Warm-up, a plateau at `peak`, and a linear decay to `floor` over the last part.

  Attributes:
    peak: the plateau's rate.
    warmup_steps, warmup_fraction: as of `WarmupCosine`.
    decay_fraction: the last part, as a fraction of the curve's steps.
    floor: last rate.
    horizon: as of `WarmupCosine`.
  """

  peak: Annotated[float, Above(0)]
  warmup_steps: Steps | None = None
  warmup_fraction: Annotated[float, From(0), Below(1)] | None = None
  decay_fraction: Share = 0.1
  floor: Rate = 0.0
  horizon: Tokens | None = None

  def curve(self, steps: int, start: float | None) -> np.ndarray:
    warmup = _warmup(self, steps)
    decay = round(self.decay_fraction * steps)
    if not 0 <= decay <= steps - warmup:
      raise UserError(
        f'WarmupStableDecay.decay_fraction is {self.decay_fraction}, {decay} of {steps} steps, of which {warmup} are warm-up. '
        'Make the two fit one after the other.'
      )
    return _joined(
      _line(start or 0.0, self.peak, warmup),
      np.full(steps - warmup - decay, self.peak),
      _line(self.peak, self.floor, decay),
    )


Schedule = WarmupCosine | LinearTo | Constant | WarmupStableDecay


def _warmup(schedule: WarmupCosine | WarmupStableDecay, steps: int) -> int:
  if (schedule.warmup_steps is None) == (schedule.warmup_fraction is None):
    raise UserError(
      f'{type(schedule).__name__} wants one of warmup_steps and warmup_fraction, and has '
      f'{"neither" if schedule.warmup_steps is None else "both"}.'
    )
  warmup = schedule.warmup_steps
  if warmup is None:
    warmup = round(schedule.warmup_fraction * steps)
  if not 0 <= warmup < steps:
    raise UserError(
      f'{type(schedule).__name__} warms up for {warmup} steps, and its curve has {steps}. Shorten the warm-up, or give the stage more tokens.'
    )
  return warmup


def _line(first: float, last: float, steps: int) -> np.ndarray:
  """float64 [steps]: a straight line from `first`, which comes to `last` one step later."""
  return last + (float(first) - last) * (1 - np.arange(steps) / steps)


def _cosine(first: float, last: float, steps: int) -> np.ndarray:
  """The same along half a cosine wave."""
  return last + (float(first) - last) * (1 + np.cos(math.pi * np.arange(steps) / steps)) / 2


def _joined(*parts: np.ndarray) -> np.ndarray:
  return np.concatenate(parts).astype(np.float32)
