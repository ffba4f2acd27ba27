"""Learning-rate schedules: a stage's whole curve is computed before its first step.

The curves are Optax's (a test compares them), in NumPy: float64, rounded once,
and nothing is compiled for each length of a stage. As in Optax, T5X and MaxText
a decay reaches its `floor` one step after its last, in the first step of what
follows; only `LinearTo` ends a stage at its floor. codemix adds how a stage's
curve continues the previous one: `start` is the last rate of the previous
stage, if the hand-off keeps the rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

import numpy as np

from codemix.checked import Above, Below, From, Share, Tokens, checked
from codemix.errors import UserError
from codemix.training.curves import Curve, Piece

Rate = Annotated[float, From(0)]
Steps = Annotated[int, From(0), 'steps']


class _Schedule:
  """Base of all schedules."""

  horizon: float | None

  def pieces(self, steps: Fraction, start: float | None) -> Sequence[Piece]:
    """The pieces of the curve.

    Raises UserError if there is no such curve.

    Args:
      steps: its length, in steps of the stage that begins it; a fraction if
        its tokens are not whole steps.
      start: the rate before it, if the hand-off keeps the rate.
    """
    raise NotImplementedError

  def lay_out(
    self, tokens: Fraction, tokens_per_step: Fraction, start: float | None, portable: bool = True
  ) -> Curve:
    """The curve over a number of tokens.

    Raises UserError as `pieces` does.

    Args:
      tokens_per_step: of the stage that begins it.
      start: as of `pieces`.
      portable: whether `start` is the same number on every machine.
    """
    pieces = self.pieces(tokens / tokens_per_step, start)
    return Curve(
      type(self).__name__,
      tuple(piece for piece in pieces if piece.steps),
      tokens,
      tokens_per_step,
      current=None if portable else start,
    )

  def curve(self, steps: int, start: float | None) -> np.ndarray:
    """float32 [steps]: the rates of a stage alone on its curve; the rest as of `pieces`."""
    whole = Fraction(steps)
    return self.lay_out(whole, Fraction(1), start).rates(whole, steps)


@dataclasses.dataclass(frozen=True)
@checked
class WarmupCosine(_Schedule):
  """Linear warm-up to `peak`, then a cosine to `floor` at the end of the stage.

  Attributes:
    peak: highest rate.
    warmup_steps: steps of the warm-up, of the stage that begins the curve; the
      paper used 1325.
    warmup_fraction: the same as a fraction of the curve's steps, rounded (1325
      of 47684 is 0.02779); one of the two is given.
    floor: rate of the step after the last; at most `peak`.
    horizon: tokens of the curve, if later stages continue it: the sum of the
      tokens of these stages and this one; None for this stage's own.
  """

  peak: Annotated[float, Above(0)]
  warmup_steps: Steps | None = None
  warmup_fraction: Annotated[float, From(0), Below(1)] | None = None
  floor: Rate = 0.0
  horizon: Tokens | None = None

  def pieces(self, steps: Fraction, start: float | None) -> Sequence[Piece]:
    warmup = _warmup(self, steps)
    _check_floor(self, self.peak, 'its peak')
    return (
      Piece('line', start or 0.0, self.peak, Fraction(warmup)),
      Piece('cosine', self.peak, self.floor, steps - warmup),
    )


@dataclasses.dataclass(frozen=True)
@checked
class LinearTo(_Schedule):
  """A straight line from the current rate, or from `start`, to an absolute `floor`.

  The paper's cooldown: linear to 1e-6.

  Attributes:
    floor: rate of the last step; at most the rate from which it starts.
    start: rate before the first step; None for the last rate of the previous stage.
    horizon: as of `WarmupCosine`.
  """

  floor: Rate = 1e-6
  start: Rate | None = None
  horizon: Tokens | None = None

  def pieces(self, steps: Fraction, start: float | None) -> Sequence[Piece]:
    first = self.start if self.start is not None else start
    if first is None:
      raise UserError(
        "LinearTo starts from the current rate, and this stage has none: set LinearTo.start, or Handoff.rate = 'continue'."
      )
    _check_floor(self, first, 'the rate from which it starts')
    # The line passes through the rate before it, so the first step is already lower.
    return (Piece('to', first, self.floor, steps),)


@dataclasses.dataclass(frozen=True)
@checked
class Constant(_Schedule):
  """One rate throughout, after an optional linear warm-up.

  Attributes:
    rate: None for the last rate of the previous stage.
    warmup_steps: steps of the warm-up, fewer than the curve's.
    horizon: as of `WarmupCosine`.
  """

  rate: Rate | None = None
  warmup_steps: Steps = 0
  horizon: Tokens | None = None

  def pieces(self, steps: Fraction, start: float | None) -> Sequence[Piece]:
    rate = self.rate if self.rate is not None else start
    if rate is None:
      raise UserError(
        "Constant keeps the current rate, and this stage has none: set Constant.rate, or Handoff.rate = 'continue'."
      )
    warmup = _checked_warmup(self, self.warmup_steps, steps)
    return Piece('line', start or 0.0, rate, Fraction(warmup)), Piece('hold', rate, rate, steps - warmup)


@dataclasses.dataclass(frozen=True)
@checked
class WarmupStableDecay(_Schedule):
  """Warm-up, a plateau at `peak`, and a linear decay to `floor` over the last part.

  Attributes:
    peak: the plateau's rate.
    warmup_steps, warmup_fraction: as of `WarmupCosine`.
    decay_fraction: the last part, as a fraction of the curve's steps: a step at least, or 0.
    floor: rate of the step after the last; at most `peak`.
    horizon: as of `WarmupCosine`.
  """

  peak: Annotated[float, Above(0)]
  warmup_steps: Steps | None = None
  warmup_fraction: Annotated[float, From(0), Below(1)] | None = None
  decay_fraction: Share = 0.1
  floor: Rate = 0.0
  horizon: Tokens | None = None

  def pieces(self, steps: Fraction, start: float | None) -> Sequence[Piece]:
    warmup = _warmup(self, steps)
    _check_floor(self, self.peak, 'its peak')
    decay = round(self.decay_fraction * steps)
    if not 0 <= decay <= steps - warmup:
      raise UserError(
        f'WarmupStableDecay.decay_fraction is {self.decay_fraction}, {decay} of {_number(steps)} steps, of which {warmup} are warm-up. '
        'Make the two fit one after the other.'
      )
    if self.decay_fraction and not decay:
      raise UserError(
        f'WarmupStableDecay.decay_fraction is {self.decay_fraction}, less than half a step of {_number(steps)}. '
        'Give the stage more tokens, raise it, or write 0 for no decay.'
      )
    return (
      Piece('line', start or 0.0, self.peak, Fraction(warmup)),
      Piece('hold', self.peak, self.peak, steps - warmup - decay),
      Piece('line', self.peak, self.floor, Fraction(decay)),
    )


@dataclasses.dataclass(frozen=True)
@checked
class WarmupInverseSqrt(_Schedule):
  """Linear warm-up to `peak`, then a decay with the inverse square root of the step, which has no end.

  With `timescale` None the rate of step k after w steps of warm-up is peak x sqrt(w / k): Vaswani et al. (arXiv:1706.03762,
  equation 3), whose peak is (d_model x w)^-0.5. T5 (arXiv:1910.10683, section 3.1.2) has 1 / sqrt(max(k, w)): `start` = `peak` =
  0.01 with 10,000 steps of warm-up.

  Attributes:
    peak: highest rate.
    warmup_steps, warmup_fraction: as of `WarmupCosine`.
    timescale: steps of the stage that begins the curve; after three times as many the rate is half of the peak. None for those of
      the warm-up.
    start: rate before the warm-up; None for 0, or for the last rate of the previous stage if the hand-off keeps it.
    horizon: as of `WarmupCosine`. The curve does not depend on it, except for a `warmup_fraction`.
  """

  peak: Annotated[float, Above(0)]
  warmup_steps: Steps | None = None
  warmup_fraction: Annotated[float, From(0), Below(1)] | None = None
  timescale: Annotated[float, Above(0), 'steps'] | None = None
  start: Rate | None = None
  horizon: Tokens | None = None

  def pieces(self, steps: Fraction, start: float | None) -> Sequence[Piece]:
    warmup = _warmup(self, steps)
    timescale = Fraction(warmup if self.timescale is None else self.timescale)
    if not timescale:
      raise UserError('WarmupInverseSqrt.timescale is that of the warm-up, and there is none: set WarmupInverseSqrt.timescale, in steps.')
    first = self.start if self.start is not None else start or 0.0
    return (
      Piece('line', first, self.peak, Fraction(warmup)),
      Piece('inverse_sqrt', self.peak, 0.0, steps - warmup, timescale),
    )


Schedule = WarmupCosine | LinearTo | Constant | WarmupStableDecay | WarmupInverseSqrt


def _warmup(schedule: WarmupCosine | WarmupStableDecay | WarmupInverseSqrt, steps: Fraction) -> int:
  if (schedule.warmup_steps is None) == (schedule.warmup_fraction is None):
    raise UserError(
      f'{type(schedule).__name__} wants one of warmup_steps and warmup_fraction, and has '
      + ('neither.' if schedule.warmup_steps is None else 'both. Set the other one to None.')
    )
  warmup = schedule.warmup_steps
  return _checked_warmup(schedule, round(schedule.warmup_fraction * steps) if warmup is None else warmup, steps)


def _checked_warmup(schedule: Schedule, warmup: int, steps: Fraction) -> int:
  if not 0 <= warmup < steps:
    raise UserError(
      f'{type(schedule).__name__} warms up for {warmup} steps, and its curve has {_number(steps)}. Shorten the warm-up, or give the stage more tokens.'
    )
  return warmup


def _check_floor(schedule: WarmupCosine | WarmupStableDecay | LinearTo, first: float, name: str) -> None:
  if schedule.floor > first:
    raise UserError(
      f'{type(schedule).__name__}.floor is {schedule.floor:g}, above {name}, which is {first:g}. Lower the floor: a decay goes down.'
    )


def _number(steps: Fraction) -> str:
  return f'{float(steps):,.10g}'
