"""A learning-rate curve over the tokens of one stage, or of several stages that share it.

A curve is measured in steps of the stage that begins it. Step k of a stage of S
steps and T tokens is at T k / S tokens after the stage's beginning. So the rate
is a function of the tokens read, whatever the batch of each stage; a stage
covers exactly its tokens, though it trains whole steps; and stages whose tokens
sum to the curve's tokens use it up exactly. For a stage alone on its curve,
step k is at k.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Rates are computed in float64 and rounded once. Cosines differ between machines in their last bit, so the rate at
# which a cosine ends is called by this name in what is hashed.
CURRENT = 'the rate before'


@dataclasses.dataclass(frozen=True)
class Piece:
  """A part of a curve with one form.

  Attributes:
    form: 'line' or 'cosine', which are at `first` in their first step and reach
      `last` one step after their last one; 'to', a line that reaches `last` in
      its last step; 'hold', which stays at `first`; or 'inverse_sqrt', which is
      `first` / sqrt(1 + position / timescale) and has no end, so `last` is 0.
    first, last: rates.
    steps: its length, in steps of the curve.
    timescale: of 'inverse_sqrt', in steps of the curve.
  """

  form: str
  first: float
  last: float
  steps: Fraction
  timescale: Fraction | None = None

  @property
  def unit(self) -> Fraction:
    """Steps of the curve that positions are divided by: pieces with equal quotients have equal rates."""
    return self.timescale or self.steps

  def rates(self, positions: np.ndarray) -> np.ndarray:
    """float64, of positions: steps of the curve since the piece began ('to': at the step's end)."""
    first, last, steps = float(self.first), float(self.last), float(self.steps)
    positions = np.minimum(positions, steps)
    if self.form == 'hold':
      return np.full(len(positions), first)
    if self.form == 'cosine':
      return last + (first - last) * (1 + np.cos(math.pi * positions / steps)) / 2
    if self.form == 'inverse_sqrt':
      return first / np.sqrt(1 + positions / float(self.timescale))
    if self.form == 'to':
      return first + (last - first) * (1 - (steps - positions) / steps)
    return last + (first - last) * (1 - positions / steps)


class Span(NamedTuple):
  """The consecutive steps of a stage that fall into one piece.

  Attributes:
    piece: of the curve.
    begin: position of the first of them, in steps of the curve since the piece began.
    stride: steps of the curve from one to the next.
    steps: their number.
  """

  piece: Piece
  begin: Fraction
  stride: Fraction
  steps: int


@dataclasses.dataclass(frozen=True)
class Curve:
  """The curve of a schedule, and how much of it is used.

  Attributes:
    schedule: name of its class.
    pieces: in order.
    tokens: over which it is laid out.
    tokens_per_step: of the stage that begins it: its tokens over its steps.
    used: tokens of the stages before.
    current: the rate before the curve, if the curve begins at that rate and a cosine led to it.
  """

  schedule: str
  pieces: tuple[Piece, ...]
  tokens: Fraction
  tokens_per_step: Fraction
  used: Fraction = Fraction(0)
  current: float | None = None

  @property
  def left(self) -> Fraction:
    """Tokens that no stage has used."""
    return self.tokens - self.used

  def after(self, tokens: Fraction) -> Curve:
    """The same curve after a stage has used these tokens of it."""
    return dataclasses.replace(self, used=self.used + tokens)

  def rates(self, tokens: Fraction, steps: int) -> np.ndarray:
    """float32 [steps]: the rates of a stage that covers the next `tokens` of the curve."""
    rates = [
      span.piece.rates(float(span.begin) + float(span.stride) * np.arange(span.steps))
      for span in self._spans(tokens, steps)
    ]
    with np.errstate(over='ignore'):  # a rate that float32 cannot hold becomes infinite, and the caller refuses it
      return np.concatenate(rates).astype(np.float32)

  def describe(self, tokens: Fraction, steps: int) -> list[list]:
    """The same as plain data: equal if the rates are equal, on whatever machine they were computed.

    Returns:
      ['hold', rate, steps], or [form, first, last, begin, stride, steps] with
      `begin` and `stride` as fractions of the piece, or of its timescale.
    """
    described: list[list] = []
    for piece, begin, stride, count in self._spans(tokens, steps):
      held = piece.first if piece.form == 'hold' or piece.first == piece.last else None
      if count == 1 and piece.form != 'to' and not begin:
        held = piece.first
      if held is None:
        places = str(begin / piece.unit), str(stride / piece.unit)
        described.append([piece.form, self._name(piece.first), self._name(piece.last), *places, count])
        continue
      rate = self._name(held)
      rate = rate if rate == CURRENT else float(np.float32(rate))
      if described and described[-1][:2] == ['hold', rate]:
        count += described.pop()[2]
      described.append(['hold', rate, count])
    return described

  def _name(self, rate: float) -> float | str:
    return CURRENT if rate == self.current else rate

  def _spans(self, tokens: Fraction, steps: int) -> Iterator[Span]:
    at = self.used / self.tokens_per_step
    stride = tokens / steps / self.tokens_per_step
    done, begin = 0, Fraction(0)
    for number, piece in enumerate(self.pieces, 1):
      end = begin + piece.steps
      # A stage may end up to half a step after its curve; it then keeps the last rate.
      upto = steps if number == len(self.pieces) else min(max(math.ceil((end - at) / stride), done), steps)
      if upto > done:
        shift = stride if piece.form == 'to' else 0
        yield Span(piece, at + done * stride + shift - begin, stride, upto - done)
      done, begin = upto, end


def depends_on_a_cosine(described: list[list]) -> bool:
  """Whether the last rate of a described stage comes from a cosine."""
  return described[-1][0] == 'cosine' or CURRENT in described[-1]
