"""The bindings in force as one gin file.

gin's own `config_str` sorts the keys of dictionaries, and the order of a mixture's sources decides which rows are read.
"""

from __future__ import annotations

import gin
from codemix.config.places import IMPORTS, MACRO, PLACES, value_of


def one_file() -> str:
  """The text of a gin file from which `parse` makes the bindings that it made last."""
  return '\n'.join([*IMPORTS, *(f'{_name(*key)} = {value_of(key)!r}' for key in PLACES), ''])


def _name(scope: str, selector: str, parameter: str) -> str:
  if selector == MACRO:
    return scope
  return f'{scope}/{gin.config._REGISTRY.minimal_selector(selector)}.{parameter}'.lstrip('/')
