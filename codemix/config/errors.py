"""gin's errors in one line: where, what is wrong, and the nearest name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import gin
from codemix.config.places import (
  MACRO,
  PLACES,
  Key,
  Place,
  found_at,
  last_name,
  references_of,
  spelled,
  value_of,
)
from codemix.errors import UserError, nearest

_CALL = re.compile(r"\n  In call to configurable '([^']+)' \(.*?\)(?: in scope '([^']+)')?(?=\n|$)")


def explanation(error: Exception) -> str:
  """The error in one line, without its place."""
  text = str(error)
  if isinstance(error, UserError):
    # gin appends the places of calls; the message itself is the first line.
    return text.split('\n')[0]
  for pattern, explain in _EXPLANATIONS:
    if found := re.search(pattern, text):
      return explain(*found.groups())
  return f'{type(error).__name__}: {text.split(chr(10))[0]}'


def build_error(error: Exception) -> UserError:
  """The UserError for an error in a constructor that gin called, with the place of the binding that it names."""
  if isinstance(error, RecursionError):
    circle, place = _circle()
    return UserError(f'{place}: bindings refer to each other in a circle: {" -> ".join(circle)}.')
  text, calls = str(error), [(name, scope) for name, scope in _CALL.findall(str(error))]
  message = explanation(error)
  where = _place_of_lacking(text) or _place_of_named(message, calls)
  return UserError(f'{where}: {message}' if where else message)


def _place_of_named(message: str, calls: list[tuple[str, str]]) -> str:
  """The place of the first binding that the message names, in the call that raised it."""
  for name, parameter in re.findall(r'\b(\w+)\.(\w+)', message):
    for called, scope in calls:
      if called == name and (found := found_at(scope, gin.config._REGISTRY.get_match(name).selector, parameter)):
        return _described(*found)
  return ''


def _described(key: Key, place: Place) -> str:
  """The place, with the binding if the message does not name it."""
  value = value_of(key)
  if isinstance(value, gin.config.ConfigurableReference) and value.selector == MACRO:
    macro = ('/'.join(value.scopes), MACRO, 'value')
    if macro in PLACES:
      name = f'%{macro[0]} ' if PLACES[macro].file else ''
      return f'{PLACES[macro]} ({name}for {spelled(key)})'
  return f'{place} ({spelled(key)})' if key[0] and place.file else str(place)


def _place_of_lacking(text: str) -> str:
  """The place of the binding that refers to what has no value: a macro, or a call in a scope."""
  if not (found := re.search(r"^(\w+)(?:\.__init__)?\(\) missing.*?in scope '([^']+)'", text, re.DOTALL)):
    return ''
  name, lacking = found.groups()
  for key, place in PLACES.items():
    if any(scope == lacking and last_name(selector) == name for scope, selector in references_of(value_of(key))):
      return str(place)
  return ''


def _circle() -> tuple[list[str], Place | None]:
  """The names of bindings that refer to each other in a circle, and the place of the first of them."""

  def search(node: tuple[str, str], path: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if node in path:
      return [*path[path.index(node) :], node]
    for key in PLACES:
      if key[1] == node[1] and f'{node[0]}/'.startswith(f'{key[0]}/' if key[0] else ''):
        for scope, selector in references_of(value_of(key)):
          if found := search((scope or node[0], selector), [*path, node]):
            return found
    return []

  circle = next(filter(None, (search(key[:2], []) for key in PLACES)), [])
  refers = lambda key: any((scope or circle[0][0], selector) == circle[1] for scope, selector in references_of(value_of(key)))
  place = next((place for key, place in PLACES.items() if circle and key[1] == circle[0][1] and refers(key)), None)
  return [f'%{scope}' if selector == MACRO else f'@{scope}/{last_name(selector)}()'.replace('@/', '@') for scope, selector in circle], place


def _unknown_configurable(selector: str) -> str:
  name = last_name(selector)
  asked = selector.rpartition('/')[2] if name in registered_names() else name
  return f"gin knows no '{asked}'.{nearest(name, registered_names())}"


def _unknown_parameter(selector: str, parameter: str) -> str:
  known = inspect.signature(gin.config._REGISTRY.get_match(selector).wrapped).parameters
  name = selector.rsplit('.', 1)[-1]
  return f"{name} has no parameter '{parameter}'.{nearest(parameter, known)}"


def _unbound_macro(name: str) -> str:
  macros = {scope for scope, selector in gin.config._CONFIG if selector == 'gin.macro'} - {name}
  return f"%{name} has no value; bind {name} in a gin file.{nearest(name, macros)}"


def _lacking(call: str, names: str, rest: str) -> str:
  name = call.removesuffix('.__init__')
  if scope := re.search(r"in scope '([^']+)'", rest):
    if name == 'macro':
      return _unbound_macro(scope[1].rsplit('/', 1)[-1])
    name = f'{scope[1]}/{name}'
  return f'{name} lacks a value for {names}. Bind it in a gin file, or with --gin.{name}.NAME=VALUE.'


_EXPLANATIONS: tuple[tuple[str, Callable[..., str]], ...] = (
  (r"No configurable matching (?:reference )?'@?([\w./]+)", _unknown_configurable),
  (r"Configurable '([^']+)' doesn't have a parameter named '([^']+)'", _unknown_parameter),
  (r"No bindings specified for '(\w+)/gin\.macro'", _unbound_macro),
  (r"^([\w.]+)\(\) missing \d+ required [\w -]*arguments?: (.+)\n((?s:.*))", _lacking),
)


def registered_names() -> list[str]:
  """The names of all configurables."""
  return [selector.rsplit('.', 1)[-1] for selector, _ in gin.config._REGISTRY.items()]
