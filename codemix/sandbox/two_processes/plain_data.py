"""Plain data as JSON, for the pipe between tests and solution (sent into the sandbox as text)."""

import builtins
import importlib

_NUMBERS = {'Decimal': 'decimal', 'Fraction': 'fractions'}


def encode(value, keep):
  """Plain data as what `json` can write; other objects as the number that `keep(value)` gives them.

  Subclasses of the builtin types become the builtin types, and arrays become lists.
  """
  if value is None or value is True or value is False:
    return value
  if isinstance(value, bool | str):
    return bool(value) if isinstance(value, bool) else str.__str__(value)
  if isinstance(value, int):
    return {'int': hex(int(value))}
  if isinstance(value, float):
    return {'float': repr(float(value))}
  if isinstance(value, complex):
    return {'complex': [repr(value.real), repr(value.imag)]}
  if isinstance(value, bytes):
    return {'bytes': value.hex()}
  if isinstance(value, dict):
    return {'dict': [[encode(key, keep), encode(held, keep)] for key, held in value.items()]}
  for kind in (list, tuple, set, frozenset):
    if isinstance(value, kind):
      return {kind.__name__: [encode(held, keep) for held in value]}
  if type(value).__name__ in _NUMBERS and type(value).__module__ == _NUMBERS[type(value).__name__]:
    return {'number': [type(value).__name__, str(value)]}
  if type(value).__module__ == 'numpy':
    return encode(value.tolist(), keep)
  if isinstance(value, type) and vars(builtins).get(value.__name__) is value:
    return {'type': value.__name__}
  return {'object': keep(value)}


def decode(data, found):
  """The value that `encode` wrote: of exactly the builtin types, and `found(number)` for other objects.

  Raises an exception for anything that `encode` does not write.
  """
  if data is None or isinstance(data, bool | str):
    return data
  ((kind, held),) = data.items()
  if kind == 'int':
    return int(held, 16)
  if kind == 'float':
    return float(held)
  if kind == 'complex':
    return complex(*map(float, held))
  if kind == 'bytes':
    return bytes.fromhex(held)
  if kind == 'number':
    return getattr(importlib.import_module(_NUMBERS[held[0]]), held[0])(held[1])
  if kind == 'dict':
    return {decode(key, found): decode(value, found) for key, value in held}
  if kind == 'type':
    named = vars(builtins)[held]
    if not isinstance(named, type):
      raise TypeError(f'{held} is not a type')
    return named
  if kind == 'object':
    return found(held)
  return {'list': list, 'tuple': tuple, 'set': set, 'frozenset': frozenset}[kind](decode(value, found) for value in held)
