"""Bindings that nothing refers to: silent in gin, and mostly a mistyped name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence

import gin
from codemix.checked import kinds, kinds_of
from codemix.errors import nearest
from codemix.gin_places import MACRO, PLACES, Key, last_name, references_of, spelled, value_of

# What the verbs build, whatever a file refers to.
ROOTS = ('Study', 'Recipe', 'Data', 'Runtime', 'Contamination', 'ModelConfig')


def without_reference(named: Sequence[str], shipped: str) -> list[str]:
  """A warning for each scope, macro or configurable that is bound and that no reference can reach.

  What ships with codemix binds more than one recipe uses. So may a file that is included: what it binds
  completely, so that a reference could build it, is an offer.

  Args:
    named: the files that the command line names.
    shipped: the folder of codemix's own.
  """
  reached = _reached()
  warnings: dict[tuple[str, str], str] = {}
  for key, place in PLACES.items():
    scope, selector, _ = key
    if not place.file or place.file.startswith(f'{shipped}/') or (scope, selector) in warnings:
      continue
    if any(selector == at[1] and _inside(at[0], scope) for at in reached):
      continue
    if place.file in named or not _is_complete(scope, selector):
      warnings[scope, selector] = f'{place}: {spelled(key)} has no effect: {_reason(key, reached)}'
  return list(warnings.values())


def has_effect(key: Key) -> bool:
  """Whether something that was built took its value from this binding."""
  scope, selector, parameter = key
  for (called_in, called), taken in gin.config._OPERATIVE_CONFIG.items():
    if called == selector and parameter in taken and _inside(called_in, scope):
      closer = (other for other in PLACES if other[1:] == (selector, parameter))
      if not any(len(other[0]) > len(scope) and _inside(called_in, other[0]) for other in closer):
        return True
  return False


def reference_wanted(key: Key) -> str:
  """Which binding is missing, where no reference reaches the configurable of this one in any scope; else nothing."""
  reached = _reached()
  return '' if key[1] == MACRO or key[1] in {selector for _, selector in reached} else _reason(key, reached)


def _reached() -> set[tuple[str, str]]:
  """(scope, selector) of everything that the roots, or a reference anywhere, would build."""
  roots = [('', gin.config._REGISTRY.get_match(name).selector) for name in ROOTS]
  waiting = [*roots, *(node for key in PLACES for node in _referred(key, key[0]))]
  reached: set[tuple[str, str]] = set()
  while waiting:
    node = waiting.pop()
    if node in reached:
      continue
    reached.add(node)
    for key in PLACES:
      if key[1] == node[1] and _inside(node[0], key[0]):
        waiting.extend(_referred(key, node[0]))
  return reached


def _referred(key: Key, scope: str) -> Iterator[tuple[str, str]]:
  """What a binding refers to; a reference without a scope is built in the scope that it is met in."""
  for own, selector in references_of(value_of(key)):
    yield own or scope, selector


def _inside(scope: str, around: str) -> bool:
  return not around or scope == around or scope.startswith(f'{around}/')


def _is_complete(scope: str, selector: str) -> bool:
  """Whether all that the configurable needs is bound in this very scope."""
  parameters = inspect.signature(gin.config._REGISTRY[selector].wrapped).parameters.values()
  return all((scope, selector, p.name) in PLACES for p in parameters if p.default is p.empty)


def _reason(key: Key, reached: Iterable[tuple[str, str]]) -> str:
  scope, selector, _ = key
  name = last_name(selector)
  if selector == MACRO:
    return f'nothing refers to %{scope}.{nearest(scope, {at[0] for at in reached if at[1] == MACRO})}'
  scopes = {at[0] for at in reached if at[0] and at[1] == selector}
  if scope and (selector in {at[1] for at in reached}):
    return f"nothing refers to @{scope}/{name}().{nearest(scope, scopes)}"
  reference = f'@{f"{scope}/" if scope else ""}{name}()'
  wanting = [f'{place} = {f"({reference},)" if listed else reference}' for place, listed in _takers(selector)]
  bind = f' Bind {" or ".join(wanting[:3])}.' if wanting else ''
  return f'nothing refers to @{name}().{bind}'


def _takers(selector: str) -> Iterator[tuple[str, bool]]:
  """(CONFIGURABLE.PARAMETER, whether as a list) of what takes what this one builds."""
  cls = gin.config._REGISTRY[selector].wrapped
  for other, entry in gin.config._REGISTRY.items():
    if isinstance(cls, type) and getattr(entry.wrapped, '__checked__', False):
      for field, kind in kinds_of(entry.wrapped).items():
        if any(isinstance(each, kinds.Instance) and _is_a(cls, each.cls) for each in kind.within()):
          yield f'{last_name(other)}.{field}', any(isinstance(each, kinds.Items) for each in kind.within())


def _is_a(cls: type, wanted: type) -> bool:
  try:
    return issubclass(cls, wanted)
  except TypeError:  # a protocol with attributes that are not methods
    return all(hasattr(cls, name) for name in vars(wanted) if not name.startswith('_'))
