"""A mixture that changes along a stage: in steps, or linearly between knots."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from codemix.checked import NotEmpty, checked
from codemix.data.mixtures.mixture import Mixture, Spec, exact, parse_mixture
from codemix.data.order.row_schedule import constant_shares
from codemix.data.order.targets import Segment
from codemix.errors import UserError


class Span(NamedTuple):
  """A part of a stage over which each source's share is linear in the tokens.

  Attributes:
    begin, end: fractions of the stage's tokens, from 0 to 1.
    at_begin, at_end: exact share of each source; all spans of a stage name the
      same sources in the same order, and each sums to one.
  """

  begin: Fraction
  end: Fraction
  at_begin: dict[str, Fraction]
  at_end: dict[str, Fraction]


@dataclasses.dataclass(frozen=True)
@checked
class MixtureSchedule:
  """Mixtures at points of a stage.

  Attributes:
    knots: (where, mixture) in order; the first at 0. They are parsed to (Fraction, Mixture).
    interpolation: 'step' keeps each mixture up to the next knot; 'linear' interpolates each
      source's share of the tokens (not each weight of the tree) between knots, and keeps the last.
    unit: 'fraction' of the stage's tokens, or 'tokens' since the stage began.

  Raises UserError: no knots, knots out of order, or a mixture that is not valid, with the knot's
  number.
  """

  knots: Annotated[Sequence[Annotated[tuple[object, object], '(where, mixture)']], NotEmpty()]
  interpolation: Literal['step', 'linear'] = 'step'
  unit: Literal['fraction', 'tokens'] = 'fraction'

  def __post_init__(self):
    object.__setattr__(self, 'knots', tuple(_knot(i, knot) for i, knot in enumerate(self.knots, 1)))
    places = [at for at, _ in self.knots]
    if places[0] != 0:
      raise UserError(f'MixtureSchedule.knots begins at {float(places[0]):g}; the first knot stands at 0.')
    for i, (before, at) in enumerate(itertools.pairwise(places), 2):
      if not before < at:
        raise UserError(f'MixtureSchedule: knot {i} stands at {float(at):g}, not after the one before it at {float(before):g}.')
    self._check_end(Fraction(1) if self.unit == 'fraction' else None)

  def segments(self, tokens: float | None = None) -> list[Span]:
    """The spans of the stage from 0 to 1; adjacent ones with the same constant shares are merged.

    Args:
      tokens: of the stage; needed where the knots are given in tokens.

    Raises UserError: a knot after the end of the stage, or shares by documents that were not
    resolved.
    """
    places = self._places(tokens)
    shares = [self._shares(mixture) for _, mixture in self.knots]
    last = len(shares) - 1
    spans: list[Span] = []
    for i, (begin, end) in enumerate(itertools.pairwise([*places, Fraction(1)])):
      at_end = shares[i if self.interpolation == 'step' else min(i + 1, last)]
      span = Span(begin, end, shares[i], at_end)
      if spans and spans[-1].at_begin == spans[-1].at_end == span.at_begin == span.at_end:
        span = span._replace(begin=spans.pop().begin)
      if span.begin < span.end:
        spans.append(span)
    return spans

  def constant(self, tokens: float | None = None) -> dict[str, Fraction] | None:
    """Each source's share where no share changes along the stage, else None; errors as of `segments`."""
    spans = self.segments(tokens)
    return spans[0].at_begin if len(spans) == 1 and spans[0].at_begin == spans[0].at_end else None

  def row_segments(self, tokens: float, rows: int) -> tuple[Segment, ...]:
    """How the shares of the sources (`drawn`, in order) go along a stage of `rows` rows."""
    if shares := self.constant(tokens):
      return constant_shares(shares, rows)
    spans = self.segments(tokens)
    bounds = [round(span.begin * rows) for span in spans] + [rows]
    return tuple(
      Segment(end - begin, tuple(span.at_begin.values()), tuple(span.at_end.values()))
      for span, (begin, end) in zip(spans, itertools.pairwise(bounds), strict=True)
      if end > begin
    )

  def mean(self, tokens: float | None = None) -> Mixture:
    """One tree with each source's share of the whole stage; of a single knot, its own tree.

    Raises UserError as `segments`; or a name that is a source at one knot and a group at another.
    """
    mixtures = [mixture for _, mixture in self.knots]
    if len(mixtures) == 1:
      return mixtures[0]
    held = self._held(tokens)
    return Mixture(f'the mean of {len(mixtures)} mixtures', Fraction(1), _blend(list(zip(held, mixtures, strict=True))))

  def drawn(self) -> list[str]:
    """The sources that are trained on at some point of the stage."""
    return list(dict.fromkeys(source for _, mixture in self.knots for source in mixture.drawn()))

  def evaluated_only(self) -> list[str]:
    """The sources that are named and never drawn."""
    named = dict.fromkeys(source for _, mixture in self.knots for source in mixture.evaluated_only())
    return [source for source in named if source not in self.drawn()]

  def resolve(self, tokens_per_document: Mapping[str, Fraction]) -> MixtureSchedule:
    """`Mixture.resolve` of every knot."""
    knots = tuple((at, mixture.resolve(tokens_per_document)) for at, mixture in self.knots)
    return dataclasses.replace(self, knots=knots)

  def describe(self, tokens: float | None = None) -> list:
    """What decides which rows are drawn, as plain data: shares of sources, without groups.

    Returns:
      [[source, share], ...] where nothing changes; else a list of
      [begin, end, [[source, share, share at the end], ...]].
    """
    if shares := self.constant(tokens):
      return [[source, str(share)] for source, share in shares.items()]
    return [
      [str(s.begin), str(s.end), [[name, str(share), str(s.at_end[name])] for name, share in s.at_begin.items()]]
      for s in self.segments(tokens)
    ]

  def _shares(self, mixture: Mixture) -> dict[str, Fraction]:
    """The shares at a knot of every source that is drawn at some point."""
    shares = mixture.shares()
    return {source: shares.get(source, Fraction(0)) for source in self.drawn()}

  def _places(self, tokens: float | None) -> list[Fraction]:
    """The positions of the knots, as fractions of the stage."""
    if self.unit == 'fraction':
      return [at for at, _ in self.knots]
    if tokens is None:
      raise UserError('the knots of a MixtureSchedule are given in tokens; segments needs the tokens of the stage.')
    total = exact(tokens, 'the tokens of the stage')
    self._check_end(total)
    return [at / total for at, _ in self.knots]

  def _check_end(self, end: Fraction | None) -> None:
    """Raises UserError where nothing of the stage comes after the last knot."""
    at = self.knots[-1][0]
    # A line may lead to the very end of the stage; a step there would have no rows.
    if end is not None and (at > end or (at == end and self.interpolation == 'step')):
      raise UserError(
        f'MixtureSchedule: knot {len(self.knots)} stands at {float(at):,g} ({self.unit}), and the stage ends at {float(end):,g}.'
      )

  def _held(self, tokens: float | None) -> list[Fraction]:
    """The weight of each knot's mixture in the mean of the stage; they sum to one."""
    held = [Fraction(0)] * len(self.knots)
    for i, (begin, end) in enumerate(itertools.pairwise([*self._places(tokens), Fraction(1)])):
      following = i if self.interpolation == 'step' else min(i + 1, len(held) - 1)
      held[i] += (end - begin) / 2
      held[following] += (end - begin) / 2
    return held


def schedule_of(spec: Spec | MixtureSchedule, where: str) -> MixtureSchedule:
  """A mixture, `where` in an error, as a schedule; one that does not change has a single knot.

  Raises UserError as `parse_mixture`.
  """
  if isinstance(spec, MixtureSchedule):
    return spec
  return MixtureSchedule(((0.0, parse_mixture(spec, where)),))


def _knot(number: int, knot: tuple[object, object]) -> tuple[Fraction, Mixture]:
  at, spec = knot
  place = exact(at, f'MixtureSchedule: the place of knot {number}')
  if isinstance(spec, Mixture):
    return place, spec
  return place, parse_mixture(spec, f'MixtureSchedule, knot {number} (at {at})')


def _blend(trees: Sequence[tuple[Fraction, Mixture]]) -> tuple[Mixture, ...]:
  """The parts of the mean of some trees, given with their weights."""
  total = sum(held for held, _ in trees)
  if not total:
    return trees[0][1].parts
  members: dict[str, list[tuple[Fraction, Mixture]]] = {}
  for held, tree in trees:
    for part in tree.parts:
      if part.weight is None:
        raise UserError(f"the share of '{part.name}' is given by documents; MixtureSchedule.resolve makes it one of tokens.")
      members.setdefault(part.name, []).append((held * part.weight, part))
  parts = []
  for name, same in members.items():
    if len({bool(part.parts) for _, part in same}) > 1:
      raise UserError(f"'{name}' is a source at one knot of a MixtureSchedule and a group at another; give one another name.")
    inner = _blend(same) if same[0][1].parts else ()
    parts.append(Mixture(name, sum(held for held, _ in same) / total, inner))
  return tuple(parts)
