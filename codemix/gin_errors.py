"""gin's errors in one line: where, what is wrong, and the nearest name that exists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable

import gin
from codemix.errors import UserError, nearest


def user_error(error: Exception, flag: str | None = None) -> UserError:
  """What to tell the user of an error that came out of gin.

  Args:
    error: raised by gin, or by a constructor that gin called.
    flag: the command-line binding that was being read, if it was one.
  """
  text = str(error)
  if isinstance(error, UserError):
    # gin appends where the call stood; the message itself is the first line.
    return UserError(text.split('\n')[0])
  where = f'--gin.{flag}: ' if flag else _place(text)
  for pattern, explain in _EXPLANATIONS:
    if found := re.search(pattern, text):
      return UserError(where + explain(*found.groups()))
  return UserError(f'{where}{type(error).__name__}: {text.split(chr(10))[0]}')


def _place(text: str) -> str:
  if found := re.search(r'In file "([^"]+)", line (\d+)', text):
    return f'{found[1]}, line {found[2]}: '
  if found := re.search(r"\(([^()]*\.gin), line (\d+)\)", text):
    return f'{found[1]}, line {found[2]}: '
  return ''


def _unknown_configurable(selector: str) -> str:
  name = selector.rsplit('.', 1)[-1]
  return f"gin knows no '{name}'.{nearest(name, registered_names())}"


def _unknown_parameter(selector: str, parameter: str) -> str:
  known = _parameters(selector)
  name = selector.rsplit('.', 1)[-1]
  return f"{name} has no parameter '{parameter}'.{nearest(parameter, known)}"


def _unparsed(token: str) -> str:
  return f"the value does not parse at '{token}'; write a string in quotes, as in 'text'."


def _missing_file(name: str) -> str:
  return f"the gin file '{name}' is not found."


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
  (r"Failed to parse token '([^']*)'", _unparsed),
  (r'Unable to open file: (.+?)\. Searched', _missing_file),
  (r"No bindings specified for '(\w+)/gin\.macro'", _unbound_macro),
  (r"^([\w.]+)\(\) missing \d+ required [\w -]*arguments?: (.+)\n((?s:.*))", _lacking),
)


def _parameters(selector: str) -> Iterable[str]:
  wrapped = gin.config._REGISTRY.get_match(selector).wrapped
  return inspect.signature(wrapped).parameters


def registered_names() -> list[str]:
  """What may be bound: the names of codemix's configurables."""
  return [selector.rsplit('.', 1)[-1] for selector, _ in gin.config._REGISTRY.items()]
