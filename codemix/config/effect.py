"""Bindings without effect, found after everything is built."""

from __future__ import annotations

import gin
from codemix.config.errors import registered_names
from codemix.config.load import bindings_of
from codemix.config.places import MACRO, NAMED, PLACES, Key, last_name, spelled
from codemix.config.reach import inside, reference_wanted
from codemix.errors import UserError, nearest


def check_used() -> None:
  """Refuses a command-line binding that changed nothing, such as one with a mistyped scope; call it after building.

  Raises UserError: naming the binding, and the nearest binding with an effect.
  """
  for key, place in PLACES.items():
    if place.file or _has_effect(key):
      continue
    name = place.flag.rpartition('.')[0].removeprefix('codemix.') or place.flag
    built = _built()
    if key[1] == MACRO and (meant := bindings_of(name)):
      raise UserError(f'{place} has no effect: nothing refers to %{name}. Did you mean --gin.{meant[0]}?')
    if key[1] == MACRO and name in registered_names():
      raise UserError(f'{place} names no parameter: write --gin.{name}.PARAMETER=VALUE.')
    if bind := reference_wanted(key):
      raise UserError(f'{place} has no effect: {bind}')
    if name not in built:
      raise UserError(f"{place} has no effect: this run builds no '{name}'.{nearest(name, built)}")
    closer = sorted(spelled(other) for other in PLACES if other[1:] == key[1:] and _has_effect(other))
    instead = f' Bind {" or ".join(closer[:4])}.' if closer else ''
    raise UserError(f"{place} has no effect: each '{name}' that this run builds has a value of its own.{instead}")


def shadowed() -> list[str]:
  """Warnings for lines of the named files that changed nothing; call it after building."""
  return [
    f"{place}: {spelled(key)} has no effect: each '{last_name(key[1])}' that this run builds has a value of its own."
    for key, place in PLACES.items()
    if place.file in NAMED and key[1] != MACRO and _is_built(*key[:2]) and not _has_effect(key)
  ]


def _is_built(scope: str, selector: str) -> bool:
  """Whether an object was built that reads bindings of this scope."""
  name = f'{scope}/{last_name(selector)}'.lstrip('/')
  return name in _built() if scope else any(called == selector for _, called in gin.config._OPERATIVE_CONFIG)


def _built() -> set[str]:
  """The names of the built objects, as in bindings."""
  built = set()
  for scope, selector in gin.config._OPERATIVE_CONFIG:
    name = scope if selector == MACRO else f'{scope}/{last_name(selector)}'.lstrip('/')
    # An outer scope can be bound too.
    parts = name.split('/')
    built |= {name, *('/'.join((*parts[:count], parts[-1])) for count in range(len(parts) - 1))}
  return built


def _has_effect(key: Key) -> bool:
  """Whether a built object took its value from this binding."""
  scope, selector, parameter = key
  for (called_in, called), taken in gin.config._OPERATIVE_CONFIG.items():
    if called == selector and parameter in taken and inside(called_in, scope):
      closer = (other for other in PLACES if other[1:] == (selector, parameter))
      if not any(len(other[0]) > len(scope) and inside(called_in, other[0]) for other in closer):
        return True
  return False
