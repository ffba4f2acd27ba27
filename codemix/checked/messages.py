"""How a message shows a refused value, and what it suggests."""

from __future__ import annotations

import fractions
import inspect
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codemix.errors import nearest

if TYPE_CHECKING:
  from codemix.checked.kinds import Kind

_LONGEST = 80  # characters of a value in a message
_REFERENCE = re.compile(r'[%@][\w./]+(\(\))?$')


def shown(value: Any) -> str:
  """A value as shown in a message, shortened if long."""
  if isinstance(value, type):
    return f'the class {value.__name__}'
  if inspect.isroutine(value):
    return f'the function {value.__name__}'
  if isinstance(value, numbers.Real) and hasattr(value, 'dtype'):  # NumPy's would be np.float64(0.5)
    value = value.item()
  if isinstance(value, fractions.Fraction):
    return str(value)
  try:
    text = repr(value)
  except ValueError:  # a whole number of more digits than Python prints
    return 'a number of thousands of digits'
  text = ' '.join(text.split())
  return text if len(text) <= _LONGEST else f'{text[: _LONGEST - 4]} ...'


def hint(kinds: Sequence[Kind], value: Any) -> str:
  """What to write instead of a value, if it can be guessed.

  Args:
    kinds: the alternatives for the value.
    value: as the user wrote it.
  """
  if isinstance(value, type) or inspect.isroutine(value):
    name = value.__name__
    return f' In gin write @{name}() with the brackets, in Python {name}().'
  if isinstance(value, str):
    if _REFERENCE.match(value):
      return f' In gin write {value} without quotes.'
    if any(kind.spells(value.strip()) for kind in kinds):
      return f' Write {value.strip()} without quotes.'
    if names := [name for kind in kinds for name in kind.names()]:
      return nearest(value, names)
  one = shown(value) if isinstance(value, str | numbers.Real | tuple | list | Mapping) else f'@{type(value).__name__}()'
  wrapped = (kind.wrapped(value, one) for kind in kinds)
  return next((f' Write {text}.' for text in wrapped if text), '')
