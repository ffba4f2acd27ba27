"""The tokenizer of a folder of transformers as one that codemix opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from codemix.data.tokenization.declared import Roles, with_roles
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError
from codemix.huggingface.sentencepiece_import import MODEL, import_sentencepiece
from codemix.huggingface.tokenizer_export import TOKENIZER, TOKENIZER_CONFIG, byte_components
from codemix.storage import read_json, require_form, write_bytes

_FIX = 'Download it again.'
_SOURCES = (TOKENIZER_CONFIG, 'special_tokens_map.json')
_FORM = {'added_tokens': [{'id': int, 'content': str}], 'model': dict}


class Imported(NamedTuple):
  """What `import_tokenizer` returns.

  Attributes:
    tokenizer: opened.
    notes: what was decided about its special tokens, in words.
  """

  tokenizer: Tokenizer
  notes: tuple[str, ...]


def import_tokenizer(folder: Path, out: Path, model_ids: Mapping[str, int | None]) -> Imported:
  """Writes the tokenizer's file into `out`: `tokenizer.json`, with the roles of its special tokens declared in it.

  If that is not a byte-level BPE and there is a `tokenizer.model` beside it, that is taken.

  A model without a BOS begins a document with its EOS, as its own training did where documents were
  joined by EOS; one without a padding token pads with EOS, which no loss counts.

  Raises UserError: there is no tokenizer, or one that is neither a byte-level BPE nor a SentencePiece
  model, or has no EOS.

  Args:
    folder: with `tokenizer.json` or `tokenizer.model`, and `tokenizer_config.json` or
      `special_tokens_map.json`.
    model_ids: of 'pad', 'bos' and 'eos' by config.json; used where those files are silent.
  """
  path = folder / TOKENIZER
  has_model = (folder / MODEL).exists()
  if not path.exists() and not has_model:
    raise UserError(f'{path} does not exist: an imported model keeps its own tokenizer.')
  components = read_json(path, _FORM, _FIX) if path.exists() else {}
  if has_model and not _is_byte_level(components):
    return _noted(folder / MODEL, *import_sentencepiece(folder, out, _named(folder)))
  if _is_of_bytes(components):
    return Imported(load_tokenizer('bytes'), ())
  roles, notes = _roles(folder, components, model_ids)
  special = set(roles)
  for token in components['added_tokens']:
    token['special'] = bool(token.get('special')) or token['id'] in special
  write_bytes(out / TOKENIZER, with_roles(components, roles, str(path)))
  try:
    tokenizer = load_tokenizer(out / TOKENIZER, lossy=True)
  except UserError as error:
    raise UserError(str(error).replace(str(out / TOKENIZER), str(path))) from None
  return _noted(path, tokenizer, notes)


def _noted(path: Path, tokenizer: Tokenizer, notes: list[str]) -> Imported:
  if tokenizer.changes:
    notes.append(f'{path} changes text: {"; ".join(tokenizer.changes)}. Training on it needs Data.allow_lossy_tokenizer = True.')
  return Imported(tokenizer, tuple(notes))


def _is_byte_level(components: Mapping[str, Any]) -> bool:
  """Whether a `tokenizer.json`, parsed, has bytes as its smallest tokens, not characters that fall back to bytes."""
  model = components.get('model', {})
  return model.get('type', 'BPE') == 'BPE' and bool(model) and not model.get('byte_fallback')


def _is_of_bytes(components: Mapping[str, Any]) -> bool:
  """Whether it is what `codemix export` writes for the tokenizer 'bytes'."""
  ours = byte_components()
  parts = ('added_tokens', 'normalizer', 'pre_tokenizer', 'model')
  return all(components.get(part) == ours[part] for part in parts)


def _roles(folder: Path, components: Mapping[str, Any], model_ids: Mapping[str, int | None]) -> tuple[Roles, list[str]]:
  ids = {token['content']: token['id'] for token in components['added_tokens']}
  named = _named(folder)
  found: dict[str, int | None] = {}
  for role in ('pad', 'bos', 'eos'):
    token = named.get(role)
    if token is not None and token not in ids:
      raise UserError(f"{folder / TOKENIZER} has no added token {token!r}, which {' or '.join(_SOURCES)} names as its {role}_token. {_FIX}")
    by_model = model_ids[role] if model_ids[role] in ids.values() else None
    found[role] = by_model if token is None else ids[token]
  spelled = {id: content for content, id in ids.items()}
  if found['eos'] is None:
    raise UserError(
      f'{folder} names no token that ends a document: write eos_token into its {TOKENIZER_CONFIG}, one of those that {TOKENIZER} has '
      f'({", ".join(list(ids)[:8]) or "none"}).'
    )
  eos, notes = found['eos'], []
  if found['bos'] is None:
    notes.append(f'the model has no BOS: its EOS, {spelled[eos]!r} (id {eos}), is the input that begins a document.')
  if found['pad'] is None:
    notes.append(f'the model has no padding token: its EOS, {spelled[eos]!r} (id {eos}), fills rows, and no loss counts it.')
  return Roles(*(eos if found[role] is None else found[role] for role in ('pad', 'bos', 'eos'))), notes


def _named(folder: Path) -> dict[str, str]:
  """The text of the special tokens that the files beside it name, by role."""
  named: dict[str, str] = {}
  for path in (folder / name for name in _SOURCES):
    if not path.exists():
      continue
    written = read_json(path, fix=_FIX)
    for role in ('pad', 'bos', 'eos'):
      token = written.get(f'{role}_token')
      if isinstance(token, dict):
        require_form(token, {'content': str}, path, _FIX)
        token = token['content']
      require_form(token, str | None, path, _FIX)
      if token is not None:
        named.setdefault(role, token)
  return named
