"""Forms: functions that return a `Mixture` whose weights are given otherwise than as shares that sum
to one. A form may be used wherever a dict of parts may:

    {'text': 0.9, 'code': (0.1, by_documents({'java': 15.54, 'python': 9.60}))}

In gin a form is a scoped configurable: bind `web/by_documents.weights` and write `@web/by_documents()`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated

from codemix.checked import Below, Name, NotEmpty, Tokens, UpTo, checked
from codemix.data.mixtures.mixture import Exact, Mixture, Spec, parse_mixture, parse_parts
from codemix.errors import UserError, nearest

Parts = Annotated[Mapping[Name, object], NotEmpty()]


@checked
def in_ratio(weights: Parts) -> Mixture:
  """Parts in the ratio of any numbers, such as a table of percentages that sums to 99.99.

  Raises UserError: no parts, a weight that is not a number of at least 0, or no weight above 0.
  """
  return Mixture('in_ratio', Fraction(1), _normalised(weights, 'in_ratio'))


@checked
def uniform(sources: Annotated[Sequence[Name], NotEmpty()]) -> Mixture:
  """Equal shares of the tokens for each of some sources.

  Raises UserError: no sources, or one that is named twice.
  """
  if len(set(sources)) < len(sources):
    raise UserError(f"uniform names '{max(sources, key=list(sources).count)}' twice.")
  return Mixture('uniform', Fraction(1), _normalised(dict.fromkeys(sources, 1), 'uniform'))


@checked
def by_documents(weights: Parts) -> Mixture:
  """Parts in a ratio of documents instead of tokens, such as the ratio in which a corpus has them.

  Their shares of tokens depend on the length of the documents, which is known
  when these are prepared (`Mixture.resolve`).

  Raises UserError as `in_ratio`.
  """
  parts = tuple(
    dataclasses.replace(part, weight=None, documents=part.weight)
    for part in _normalised(weights, 'by_documents')
  )
  return Mixture('by_documents', Fraction(1), parts)


@checked
def swap(
  mixture: Spec, replacement: Parts, within: Name | None = None, out_of: Name | Sequence[Name] = ()
) -> Mixture:
  """Replaces a share of a group's tokens, and keeps the ratio of the rest.

  Args:
    replacement: the new parts, each weight a fraction of the group's tokens:
      {'commits': 0.05, 'notebooks': 0.05}.
    within: name of the group, at any depth; None for the whole mixture.
    out_of: parts of the group that are reduced, in their ratio; () for all.

  Raises UserError: no group or several have that name, a new part is in the group already, or the
  parts that are reduced have no more than the new ones take.
  """
  tree = parse_mixture(mixture, 'swap.mixture')
  incoming = parse_parts(replacement, 'swap.replacement')
  names = (out_of,) if isinstance(out_of, str) else tuple(out_of)
  if within is None:
    return dataclasses.replace(tree, name='swap', parts=_swapped(tree, incoming, names))
  groups = _groups(tree)
  if groups.count(within) != 1:
    found = f'{groups.count(within)} groups' if within in groups else 'no group'
    raise UserError(f"swap.within is '{within}', and the mixture has {found} of that name.{nearest(within, set(groups) - {within})}")
  return dataclasses.replace(_replace_group(tree, within, incoming, names), name='swap')


@checked
def competitive(
  language: Spec, code: Spec, share: Annotated[Exact, UpTo(1)], names: tuple[Name, Name] = ('text', 'code')
) -> Mixture:
  """Code replaces language at a constant total (Petty et al., arXiv:2409.04556, section 2).

  Args:
    share: of the tokens that are code, from 0 to 1. A side with a share of 0 is left out.
    names: of the two groups.

  Raises UserError: a share that is not a number from 0 to 1.
  """
  if names[0] == names[1]:
    raise UserError(f"competitive.names is {names!r}; the two groups have different names.")
  sides = {names[0]: (1 - share, language), names[1]: (share, code)}
  return parse_mixture({name: side for name, side in sides.items() if side[0]}, 'competitive')


@checked
def additive_tokens(language_tokens: Tokens, share: Annotated[Exact, Below(1)]) -> int:
  """Loss tokens of a stage in which code is added to language (Petty et al., section 2).

  N = N_language / (1 - share), to the nearest token: at this total, the mixture of `competitive`
  has `language_tokens` tokens of language.

  Raises UserError: a share that is not a number from 0 to below 1.
  """
  return round(language_tokens / (1 - share))


def _normalised(weights: object, where: str) -> tuple[Mixture, ...]:
  """The parts, their weights divided by the sum of them."""
  parts = parse_parts(weights, where)
  total = sum(part.weight for part in parts)
  if not total:
    raise UserError(f'{where}: every weight is 0; give at least one part a weight above 0.')
  return tuple(dataclasses.replace(part, weight=part.weight / total) for part in parts)


def _groups(node: Mixture) -> list[str]:
  return [name for part in node.parts if part.parts for name in (part.name, *_groups(part))]


def _replace_group(node: Mixture, within: str, incoming: tuple[Mixture, ...], out_of: tuple[str, ...]) -> Mixture:
  if node.parts and node.name == within:
    return dataclasses.replace(node, parts=_swapped(node, incoming, out_of))
  parts = tuple(_replace_group(part, within, incoming, out_of) for part in node.parts)
  return dataclasses.replace(node, parts=parts)


def _swapped(group: Mixture, incoming: tuple[Mixture, ...], out_of: tuple[str, ...]) -> tuple[Mixture, ...]:
  """The group's parts after the swap."""
  here = {part.name: part for part in group.parts}
  for part in incoming:
    if part.name in here:
      raise UserError(f"swap: '{part.name}' is in '{group.name}' already; change its weight there.")
  for name in out_of:
    if name not in here:
      raise UserError(f"swap.out_of names '{name}', which is not a part of '{group.name}'.{nearest(name, here)}")
  taken = sum(part.weight for part in incoming)
  if any(part.weight is None for part in group.parts):
    # Fractions of documents keep their ratio to each other, not to fractions of tokens: they get a group of their own.
    if out_of:
      raise UserError(f"swap.out_of: the shares of '{group.name}' are by documents, so the share of tokens of its parts is not known.")
    _check_room(Fraction(1), taken, group.name)
    return (Mixture('rest', 1 - taken, group.parts), *incoming)
  giving = set(out_of or here)
  room = sum(part.weight for part in group.parts if part.name in giving)
  _check_room(room, taken, ', '.join(out_of) or group.name)
  kept = tuple(
    dataclasses.replace(part, weight=part.weight * (room - taken) / room) if part.name in giving else part
    for part in group.parts
  )
  return (*kept, *incoming)


def _check_room(room: Fraction, taken: Fraction, name: str) -> None:
  if not taken < room:
    raise UserError(f"swap: {float(taken):g} comes in, and '{name}' has {float(room):g}; some of it must remain.")
