"""Bindings that nothing refers to, mostly because of a mistyped name; gin ignores them silently."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

import gin
from codemix.checked import kinds_of
from codemix.checked.containers import Items, Table
from codemix.checked.kinds import Instance, Kind
from codemix.config.places import (
  MACRO,
  NAMED,
  PLACES,
  Key,
  last_name,
  references_of,
  spelled,
  value_of,
)
from codemix.errors import nearest

# The verbs build these, even if no file refers to them.
ROOTS = ('Study', 'Recipe', 'Data', 'Runtime', 'Contamination', 'ModelConfig', 'Evaluation', 'Power', 'Pilot')


def without_reference(shipped: str) -> list[str]:
  """Warnings for scopes, macros and configurables that are bound but that no reference reaches.

  Files of codemix bind more than one recipe uses, and so may included files: there is no warning for a
  configurable whose required parameters they all bind.

  Args:
    shipped: the folder of codemix's own files.
  """
  reached = _reached()
  warnings: dict[tuple[str, str], str] = {}
  for key, place in PLACES.items():
    scope, selector, _ = key
    if not place.file or place.file.startswith(f'{shipped}/') or (scope, selector) in warnings:
      continue
    if any(selector == at[1] and inside(at[0], scope) for at in reached):
      continue
    if place.file in NAMED or not _is_complete(scope, selector):
      warnings[scope, selector] = f'{place}: {spelled(key)} has no effect: {_reason(key, reached)}'
  return list(warnings.values())


def reference_wanted(key: Key) -> str:
  """The binding to add so that a reference reaches this configurable in some scope; '' if one does."""
  reached = _reached()
  return '' if key[1] == MACRO or key[1] in {selector for _, selector in reached} else _reason(key, reached)


def _reached() -> set[tuple[str, str]]:
  """(scope, selector) of everything that is built from the roots, or from a reference of any binding."""
  roots = [('', gin.config._REGISTRY.get_match(name).selector) for name in ROOTS]
  waiting = [*roots, *(node for key in PLACES for node in _referred(key, key[0]))]
  reached: set[tuple[str, str]] = set()
  while waiting:
    node = waiting.pop()
    if node in reached:
      continue
    reached.add(node)
    for key in PLACES:
      if key[1] == node[1] and inside(node[0], key[0]):
        waiting.extend(_referred(key, node[0]))
  return reached


def _referred(key: Key, scope: str) -> Iterator[tuple[str, str]]:
  """The references of a binding; one without a scope is built in the scope around it."""
  for own, selector in references_of(value_of(key)):
    yield own or scope, selector


def inside(scope: str, around: str) -> bool:
  """Whether `scope` is `around` or below it."""
  return not around or scope == around or scope.startswith(f'{around}/')


def _is_complete(scope: str, selector: str) -> bool:
  """Whether all required parameters are bound in this scope."""
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
  wanting = [f'{place} = {form.format(reference)}' for place, form in _takers(selector)]
  bind = f' Bind {" or ".join(wanting[:3])}.' if wanting else ''
  return f'nothing refers to @{name}().{bind}'


def _takers(selector: str) -> Iterator[tuple[str, str]]:
  """(CONFIGURABLE.PARAMETER, form of its value) of each parameter that accepts an object of this configurable."""
  cls = gin.config._REGISTRY[selector].wrapped
  for other, entry in gin.config._REGISTRY.items():
    if isinstance(cls, type) and getattr(entry.wrapped, '__checked__', False):
      for field, kind in kinds_of(entry.wrapped).items():
        if form := _form(kind, cls):
          yield f'{last_name(other)}.{field}', form


def _form(kind: Kind, cls: type) -> str | None:
  """What stands around an object of `cls` in a value of a kind: nothing, a list, a dictionary; None if it takes none."""
  if isinstance(kind, Instance):
    return '{}' if _is_a(cls, kind.cls) else None
  inner = next(filter(None, (_form(each, cls) for each in kind.inner())), None)
  if inner and isinstance(kind, Table):
    return f"{{{{'NAME': {inner}}}}}"
  return f'({inner},)' if inner and isinstance(kind, Items) else inner


def _is_a(cls: type, wanted: type) -> bool:
  try:
    return issubclass(cls, wanted)
  except TypeError:  # a protocol with attributes that are not methods
    return all(hasattr(cls, name) for name in vars(wanted) if not name.startswith('_'))
