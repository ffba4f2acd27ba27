"""Which special tokens of a `tokenizer.json` are padding, BOS and EOS, said in the file itself.

The format of Hugging Face has no place for it, and the tokens of a public checkpoint have names of
their own, so `codemix import` adds one key to the file:
`"codemix": {"pad_id": 1, "bos_id": 0, "eos_id": 0}`. As a part of the file it is a part of the tokenizer's digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from codemix.errors import UserError

KEY = 'codemix'


class Roles(NamedTuple):
  """Ids; two or all three may be one token."""

  pad_id: int
  bos_id: int
  eos_id: int


def with_roles(components: Mapping, roles: Roles, name: str) -> bytes:
  """A `tokenizer.json`, parsed, as the bytes of one that declares these roles.

  Raises UserError: a text in it is not Unicode.

  Args:
    name: of the file, for the error.
  """
  return _encoded({**components, KEY: roles._asdict()}, name)


def split_roles(definition: bytes, name: str) -> tuple[bytes, Roles | None]:
  """A `tokenizer.json` without the key, which the library `tokenizers` refuses, and what it declares.

  A file that is no JSON object is returned as it is.

  Raises UserError: the key does not have three ids, or a text is not Unicode.

  Args:
    name: of the file, for the error.
  """
  try:
    components = json.loads(definition)
  except (ValueError, RecursionError):
    return definition, None
  if not isinstance(components, dict) or KEY not in components:
    return definition, None
  declared = components.pop(KEY)
  ids = [declared.get(field) for field in Roles._fields] if isinstance(declared, dict) else []
  if not ids or any(type(id) is not int for id in ids):
    raise UserError(f"{name} is damaged: its key '{KEY}' must have {', '.join(Roles._fields)}, each the id of a special token. Import it again.")
  return _encoded(components, name), Roles(*ids)


def _encoded(components: Mapping, name: str) -> bytes:
  try:
    return json.dumps(components, ensure_ascii=False).encode()
  except UnicodeEncodeError as error:
    raise UserError(f'{name} is damaged: it has half of a pair of surrogates ({error.object[error.start]!a}). Download it again.') from None
