"""A mixture: a tree of named parts whose weights are fractions of loss tokens.

In gin a mixture is a dict. A number weighs a source (a SeqIO task); a pair
weighs a named group and spells its parts, to any depth:

    {'local_text': 0.9, 'code': (0.1, {'local_code': 0.8, 'local_markup': 0.2})}

Weights are exact: 0.1 means 1/10, and '1/3' may be written as a string. The
weights of one level sum to exactly one, since "0.5 and 0.6" has two readings
and codemix trains neither by guess.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from fractions import Fraction

from codemix.errors import UserError

Spec = str | Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class Mixture:
  """One node of the tree; a node without parts is a source.

  Attributes:
    name: the source's task name, or the group's label.
    weight: its fraction of its parent's loss tokens.
    parts: the nodes below, in the order in which they were written.
  """

  name: str
  weight: Fraction
  parts: tuple[Mixture, ...] = ()

  def leaves(self, share: Fraction = Fraction(1)) -> Iterator[tuple[str, Fraction]]:
    """Yields (source, share of the whole mixture's loss tokens), depth first."""
    if not self.parts:
      yield self.name, share
    for part in self.parts:
      yield from part.leaves(share * part.weight)

  def shares(self) -> dict[str, Fraction]:
    """Each source's exact share; a source that stands in two groups is summed."""
    total: dict[str, Fraction] = {}
    for source, share in self.leaves():
      total[source] = total.get(source, Fraction(0)) + share
    return total

  def to_json(self) -> dict:
    """The tree as plain data; weights as 'numerator/denominator' stay exact."""
    node: dict = {'name': self.name, 'weight': str(self.weight)}
    if self.parts:
      node['parts'] = [part.to_json() for part in self.parts]
    return node


def parse_mixture(spec: Spec, where: str = 'mixture') -> Mixture:
  """Reads a mixture as a user writes it.

  Args:
    spec: a source's name, or a dict as in the module's docstring.
    where: what to call it in an error, such as the gin binding.

  Raises:
    UserError: an empty level, a weight that is no number in [0, 1], or weights
      of one level that do not sum to one.
  """
  if isinstance(spec, str):
    spec = {spec: 1}
  return Mixture(where, Fraction(1), _parse_level(spec, where))


def _parse_level(spec: object, where: str) -> tuple[Mixture, ...]:
  if not isinstance(spec, Mapping) or not spec:
    raise UserError(
      f'{where} names no source: it is {spec!r}. Write a dict such as '
      "{'local_text': 0.9, 'local_code': 0.1}."
    )
  parts = tuple(_parse_part(name, value, where) for name, value in spec.items())
  total = sum(part.weight for part in parts)
  if total != 1:
    scaled = ', '.join(f"'{p.name}': {float(p.weight / total):.6g}" for p in parts) if total else ''
    raise UserError(
      f'{where}: the weights {", ".join(f"{p.name}={float(p.weight):g}" for p in parts)} sum to '
      f'{float(total):g}, not 1; they are fractions of the loss tokens.'
      + (f' In the same ratio: {{{scaled}}}.' if scaled else '')
    )
  return parts


def _parse_part(name: object, value: object, where: str) -> Mixture:
  if not isinstance(name, str) or not name:
    raise UserError(f'{where}: {name!r} is not the name of a source or group.')
  if isinstance(value, (tuple, list)):
    if len(value) != 2:
      raise UserError(f"{where}: '{name}' wants (weight, parts), not {value!r}.")
    weight, inner = value
    if isinstance(inner, str):
      inner = {inner: 1}
    return Mixture(name, _weight(weight, name, where), _parse_level(inner, f'{where} > {name}'))
  return Mixture(name, _weight(value, name, where))


def _weight(value: object, name: str, where: str) -> Fraction:
  try:
    if isinstance(value, bool):
      raise ValueError
    # repr of a float is its shortest decimal: 0.1 becomes 1/10, not 0x1.999...p-4.
    weight = value if isinstance(value, Fraction) else Fraction(str(value))
  except (ValueError, ZeroDivisionError):
    raise UserError(
      f"{where}: the weight of '{name}' is {value!r}; write a number from 0 to 1, such as 0.25 or '1/3'."
    ) from None
  if not 0 <= weight <= 1:
    raise UserError(
      f"{where}: the weight of '{name}' is {value!r}; a fraction of the loss tokens lies from 0 to 1."
    )
  return weight
