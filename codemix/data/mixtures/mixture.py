"""A mixture: a tree of named parts whose weights are fractions of loss tokens.

In gin a mixture is a dict. A number is the weight of a source; a pair is the
weight of a named group and its parts, to any depth:

    {'local_text': 0.9, 'code': (0.1, {'local_code': 0.8, 'local_markup': 0.2})}

Weights are exact: 0.1 means 1/10, and '1/3' may be written as a string. The weights of one level
sum to exactly one: 0.5 and 0.6 could mean two things, and codemix does not guess. Other weights are
given through a form (`codemix.data.mixtures.forms`).

A source of weight 0 is evaluated and never drawn.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated

from codemix.checked import From, ReadBy, shown
from codemix.data.order.row_schedule import apportion
from codemix.errors import UserError, nearest

# Token shares that are computed from tokens per document are multiples of this: far less than a row
# of any stage, and short enough to read and to hash.
FINEST_SHARE = Fraction(1, 10**12)

_FAR = re.compile(r'e[+-]?\d{4}', re.IGNORECASE)  # an exponent of four digits is a typing error, and exact arithmetic on it takes hours


@dataclasses.dataclass(frozen=True)
class Mixture:
  """One node of the tree; a node without parts is a source.

  Attributes:
    name: the source's name, or the group's label.
    weight: its fraction of its parent's loss tokens; None before `resolve` where
      a fraction of documents is given.
    parts: the nodes below, in the order in which they were written.
    documents: its fraction of its parent's documents, where that is given.
  """

  name: str
  weight: Fraction | None
  parts: tuple[Mixture, ...] = ()
  documents: Fraction | None = None

  def leaves(self, share: Fraction = Fraction(1)) -> Iterator[tuple[str, Fraction]]:
    """Yields (source, share of the whole mixture's loss tokens), depth first.

    Raises UserError: shares by documents that were not resolved.
    """
    if not self.parts:
      yield self.name, share
    for part in self.parts:
      if part.weight is None:
        raise UserError(
          f"{self.name}: the share of '{part.name}' is given by documents; Mixture.resolve makes it one of tokens."
        )
      yield from part.leaves(share * part.weight)

  def shares(self) -> dict[str, Fraction]:
    """Each source's exact share; a source that is in two groups is summed."""
    total: dict[str, Fraction] = {}
    for source, share in self.leaves():
      total[source] = total.get(source, Fraction(0)) + share
    return total

  def drawn(self) -> list[str]:
    """The sources that are trained on, resolved or not, in the order in which they are written."""
    return [source for source, drawn in self._sources().items() if drawn]

  def evaluated_only(self) -> list[str]:
    """The sources whose weight, or that of a group around them, is 0 wherever they are named."""
    return [source for source, drawn in self._sources().items() if not drawn]

  def _sources(self) -> dict[str, bool]:
    """Each source, and whether anything of it is drawn."""
    if not self.parts:
      return {self.name: True}
    found: dict[str, bool] = {}
    for part in self.parts:
      weighed = bool(part.weight or part.documents)  # `resolve` may round a share by documents to 0
      for source, drawn in part._sources().items():
        found[source] = found.get(source, False) or (drawn and weighed)
    return found

  def resolve(self, tokens_per_document: Mapping[str, Fraction]) -> Mixture:
    """The same mixture with every share in tokens.

    A part with the fraction d of the documents, of t tokens each on average, has a share of the
    tokens in proportion to d t. For a group, t is the harmonic mean of its parts' t, weighted by
    their shares of tokens. Shares are rounded to multiples of `FINEST_SHARE` by largest remainder.

    Args:
      tokens_per_document: mean of each source that is drawn by documents, as prepared.

    Raises UserError: a source whose tokens per document are not known.
    """
    parts = tuple(part.resolve(tokens_per_document) for part in self.parts)
    if any(part.weight is None for part in parts):
      tokens = {
        part.name: part.documents * part._document_tokens(tokens_per_document) if part.documents else Fraction(0)
        for part in parts
      }
      total = sum(tokens.values())
      units = apportion({name: each / total for name, each in tokens.items()}, FINEST_SHARE.denominator)
      parts = tuple(dataclasses.replace(part, weight=units[part.name] * FINEST_SHARE) for part in parts)
    return dataclasses.replace(self, parts=parts)

  def _document_tokens(self, tokens_per_document: Mapping[str, Fraction]) -> Fraction:
    """Mean loss tokens of a document of this node, whose parts are resolved."""
    if self.parts:
      return 1 / sum(p.weight / p._document_tokens(tokens_per_document) for p in self.parts if p.weight)
    if not tokens_per_document.get(self.name, 0) > 0:
      raise UserError(
        f"'{self.name}' has a share by documents, and its tokens per document are not known."
        f'{nearest(self.name, tokens_per_document)} Prepare it, or give shares by tokens.'
      )
    return Fraction(tokens_per_document[self.name])

  def to_json(self) -> dict:
    """The tree as plain data; weights as 'numerator/denominator' stay exact."""
    node: dict = {'name': self.name}
    if self.weight is not None:
      node['weight'] = str(self.weight)
    if self.documents is not None:
      node['documents'] = str(self.documents)
    if self.parts:
      node['parts'] = [part.to_json() for part in self.parts]
    return node


Spec = str | Mapping[str, object] | Mixture


def parse_mixture(spec: Spec, where: str = 'mixture') -> Mixture:
  """Reads a mixture as a user writes it.

  Args:
    spec: a source's name, a dict as in the module's docstring, or the `Mixture` of a form.
    where: names the mixture in an error, such as the gin binding.

  Raises UserError: an empty level, a weight that is not a number in [0, 1], or weights of one level
  that do not sum to one.
  """
  return Mixture(where, Fraction(1), _parse_level(spec, where))


def parse_parts(spec: object, where: str) -> tuple[Mixture, ...]:
  """The parts of one level, with weights of any sum. Raises UserError as `parse_mixture`."""
  if not isinstance(spec, Mapping) or not spec:
    raise UserError(
      f'{where} names no source: it is {spec!r}. Write a dict such as '
      "{'local_text': 0.9, 'local_code': 0.1}."
    )
  return tuple(_parse_part(name, value, where) for name, value in spec.items())


def _parse_level(spec: object, where: str) -> tuple[Mixture, ...]:
  if isinstance(spec, str):
    spec = {spec: 1}
  if isinstance(spec, Mixture):
    return spec.parts or (dataclasses.replace(spec, weight=Fraction(1)),)
  parts = parse_parts(spec, where)
  total = sum(part.weight for part in parts)
  if total != 1:
    listed = ', '.join(f'{part.name}={_spelled(part.weight)}' for part in parts)
    suggested = ', '.join(f"'{part.name}': {_spelled(weight)}" for part, weight in zip(parts, _to_one(parts), strict=True))
    raise UserError(
      f'{where}: the weights {listed} sum to {_sum(total)}; they are fractions of the loss tokens.'
      + (f' In the same ratio: {{{suggested}}}.' if total else '')
    )
  return parts


def _to_one(parts: Sequence[Mixture]) -> list[Fraction]:
  """The shortest weights in the ratio of the parts' (to six digits) that sum to exactly one."""
  total = sum(part.weight for part in parts) or Fraction(1)
  weights = [part.weight / total for part in parts]
  for most in (10, 100, 1000):
    near = [weight.limit_denominator(most) for weight in weights]
    if sum(near) == 1 and all(abs(short - weight) <= weight / 10**6 for short, weight in zip(near, weights, strict=True)):
      return near
  least = min((weight for weight in weights if weight), default=Fraction(1))
  units = 10 ** (6 + len(str(int(1 / least))))
  shared = apportion(dict(enumerate(weights)), units)
  return [Fraction(shared[index], units) for index in range(len(weights))]


def _spelled(weight: Fraction) -> str:
  """A weight as a user writes it: a decimal where that is exact, else '1/6'."""
  decimal = repr(float(weight)) if weight.denominator != 1 else str(weight)
  return decimal if Fraction(decimal) == weight else f"'{weight}'"


def _sum(total: Fraction) -> str:
  rounded = f'{float(total):.6g}'
  if rounded != '1':
    return f'{rounded}, not 1'
  return f'{float(abs(total - 1)):.2g} {"more" if total > 1 else "less"} than 1'


def _parse_part(name: object, value: object, where: str) -> Mixture:
  if not isinstance(name, str) or not name:
    raise UserError(f'{where}: {name!r} is not the name of a source or group.')
  if name[0] in '%@':
    raise UserError(f"{where}: '{name}' is in quotes, which makes it a name: in gin write {name} without quotes.")
  if isinstance(value, (tuple, list)):
    if len(value) != 2:
      raise UserError(f"{where}: '{name}' wants (weight, parts), not {value!r}.")
    weight, inner = value
    return Mixture(name, exact(weight, f"{where}: the weight of '{name}'"), _parse_level(inner, f'{where} > {name}'))
  return Mixture(name, exact(value, f"{where}: the weight of '{name}'"))


def exact(value: object, what: str) -> Fraction:
  """A number as exactly the decimal or fraction that the user wrote.

  Raises UserError: it is not a number of at least 0.
  """
  try:
    if isinstance(value, bool):
      raise ValueError
    # A float as text is its shortest decimal: 0.1 becomes 1/10, not 0x1.999...p-4.
    text = str(value)
    if _FAR.search(text):
      raise ValueError
    number = value if isinstance(value, Fraction) else Fraction(text)
    float(number)
  except (ValueError, ZeroDivisionError, OverflowError):
    raise UserError(f"{what} is {shown(value)}; write a number from 0 to 1, such as 0.25 or '1/3'.") from None
  if number < 0:
    raise UserError(f'{what} is {shown(value)}; a fraction of the loss tokens lies from 0 to 1.')
  return number


Exact = Annotated[float, From(0), ReadBy(exact, "0.25 or '1/3'")]  # it becomes a Fraction
