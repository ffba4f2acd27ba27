"""Mutations of files as plain data: drawn from a seeded generator, applied to bytes, kept as JSON.

A mutation is a list: its name and its arguments, such as `["flip", 17, 3]` or `["set", ["shards", 0, "tokens"], "-1"]`. A
position beyond the end of the file counts from its beginning again, so that a recipe still does something if the
file has changed its size.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

Mutation = list[Any]

# What is too long to be written down in a recipe.
_LONG = {'<digits>': '9' * 5000, '<deep>': '[' * 300 + ']' * 300, '<deeper>': '[' * 100_000, '<long>': 'x' * 5000, '<open>': '(' * 3000}
# What stands in place of a value, as JSON text; some of it is not JSON.
VALUES = (
  'null', 'true', '[]', '{}', '""', '"x"', '[null]', '{"x": null}', '0', '1', '-1', '0.5', '-0.0', '1e999', '-1e999', 'NaN', 'Infinity',
  str(2**31), str(2**60), str(2**63), str(2**64), f'-{2**60}', str(10**30), '<digits>', '<deep>', '<deeper>', '"\\ud800"', '"a\\u0000b"',
  '"../../x"', '"/etc/hostname"', '"file:///etc/hostname"', f'"{"f" * 64}"', '"<long>"', '"|O"', '"<i2"', '"%s{0}"', '[[1, 2], [3]]',
)  # fmt: skip
_NUMBERS = ('00', 'ff', '7f', '80', '0000000000000000', 'ffffffffffffffff', 'ffffffffffffff7f', '0000000000000010', '7fffffff', '80000000')
_VARINTS = ('01', '7e', '80ffff7f', 'feffffff0f', 'feffffffffffffffff01', '8080808010')  # of Thrift's compact protocol
_SPLICED = ('\0', '\n', '\r', '"', "'", '{', '}', '[', ']', ',', ':', '\\', '\ufeff', '\u2028', '\ud7ff', '1e999', '-', 'NaN', ' ', '  ')
_MARK = '@mutated@'
# Of gin: names, signs, strings and numbers, and the white space between them.
_TOKEN = re.compile(r'\s+|\w+|"[^"\n]*"|\'[^\'\n]*\'|.')
_GIN = (
  '@', '%', '()', '(', ')', '[', ']', '{', '}', ',', '=', '==', ':', '.', '/', '//', '*', '**', '-', '+', "'", '"', '"""', '#', '\\', '\0', '\t',
  '\n', ' ', 'include', 'import', 'from', 'None', 'True', 'nan', 'inf', '1e999', '-1', '0', '0x', '1_0', '1j', "b'x'", '...', 'lambda', 'Stage', 'Recipe',
  'gin', 'macro', 'gin.REQUIRED', '@gin.singleton()', '%gin.REQUIRED', 'first/second', '<long>', '<deep>', '<open>', '<digits>', '\u00e4', '\ufeff', '\u201c',
  '\nimport nothing.there\n', '\nimport os.path as path\n', '\nfrom __gin__ import dynamic_registration\n', "\ninclude 'recipe.gin'\n", "\ninclude '/dev/zero'\n",
)  # fmt: skip


def draw(form: str, content: bytes, rng: random.Random) -> Mutation:
  """A mutation of a file of some form: 'json', 'lines' (of JSON), 'gin', 'parquet', 'safetensors' or 'bytes'."""
  if form == 'json' and rng.random() < 0.8:
    return _draw_json(json.loads(content), rng)
  if form == 'lines' and rng.random() < 0.7:
    lines = content.splitlines()
    number = rng.randrange(len(lines))
    return ['in line', number, _draw_json(json.loads(lines[number]), rng)]
  if form == 'gin' and rng.random() < 0.8:
    return _draw_gin(content.decode(), rng)
  if form == 'parquet' and rng.random() < 0.5:
    footer = int.from_bytes(content[-8:-4], 'little')
    return ['footer', rng.randrange(footer), rng.choice((0, 1, 1, 2)), rng.choice((*_NUMBERS, *_VARINTS))]
  if form == 'safetensors' and rng.random() < 0.6:
    return ['header', _draw_json(json.loads(_header(content)), rng)]
  return _draw_bytes(content, form in ('json', 'lines', 'gin'), rng)


def apply(mutation: Mutation, content: bytes) -> bytes:
  """The mutated file."""
  name, *arguments = mutation
  return _APPLY[name](content, *arguments)


def _draw_bytes(content: bytes, is_text: bool, rng: random.Random) -> Mutation:
  # Headers and footers matter most.
  size = max(len(content), 1)
  ends = rng.choice((rng.randrange(size), rng.randrange(min(size, 64)), size - 1 - rng.randrange(min(size, 400))))
  length = rng.choice((1, 2, 4, 8, 16, 64, 1000))
  inserted = rng.choice(_SPLICED).encode().hex() if is_text else rng.choice(_NUMBERS)
  return rng.choice((
    ['flip', ends, rng.randrange(8)],
    ['flip', ends, rng.randrange(8)],
    ['write', ends, inserted],
    ['write', ends, rng.choice(_NUMBERS)],
    ['insert', ends, inserted],
    ['cut', ends],
    ['delete', ends, length],
    ['repeat', ends, length],
  ))  # fmt: skip


def _draw_json(value: Any, rng: random.Random) -> Mutation:
  places = list(_places(value))
  if not places or rng.random() < 0.02:
    return ['set', [], rng.choice(VALUES)]
  # A place at each depth is as likely: lists of counts would take almost all else.
  depth = rng.choice(sorted({len(place) for place in places}))
  place = rng.choice([place for place in places if len(place) == depth])
  if rng.random() < 0.15:
    return ['drop', place]
  if rng.random() < 0.1:
    return ['rename', place]
  return ['set', place, rng.choice(VALUES)]


def _draw_gin(text: str, rng: random.Random) -> Mutation:
  tokens = [number for number, token in enumerate(_TOKEN.findall(text)) if not token.isspace() or rng.random() < 0.2]
  first, second = rng.choice(tokens), rng.choice(tokens)
  return rng.choice((
    ['swap', first, second],
    ['replace', first, rng.choice(_GIN)],
    ['replace', first, rng.choice(_GIN)],
    ['before', first, rng.choice(_GIN)],
    ['misspell', first, rng.randrange(8)],
    ['replace', first, ''],
  ))  # fmt: skip


def _places(value: Any, above: tuple = ()) -> Iterator[list]:
  keys = value if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else ()
  for key in keys:
    named = key if not isinstance(key, str) or len(key) < 40 and '/' not in key else {'key': list(value).index(key)}
    yield [*above, named]
    yield from _places(value[key], (*above, named))


def _set(content: bytes, place: list, text: str) -> bytes:
  text = _text(text)
  if not place:
    return text.encode()
  value = json.loads(content)
  inner, key = _inner(value, place)
  inner[key] = _MARK
  return json.dumps(value, indent=1).replace(f'"{_MARK}"', text).encode()


def _drop(content: bytes, place: list) -> bytes:
  value = json.loads(content)
  inner, key = _inner(value, place)
  del inner[key]
  return json.dumps(value, indent=1).encode()


def _rename(content: bytes, place: list) -> bytes:
  value = json.loads(content)
  inner, key = _inner(value, place)
  if isinstance(inner, dict):
    inner[f'{key}_'] = inner.pop(key)
  else:
    inner.append(inner[key])
  return json.dumps(value, indent=1).encode()


def _inner(value: Any, place: list) -> tuple[Any, Any]:
  for key in place[:-1]:
    value = value[_key(value, key)]
  return value, _key(value, place[-1])


def _key(value: Any, key: Any) -> Any:
  # A path or a random name is given by its number: another run has others.
  return list(value)[key['key']] if isinstance(key, dict) else key


def _text(text: str) -> str:
  for name, long in _LONG.items():
    text = text.replace(name, long)
  return text


def _in_line(content: bytes, number: int, mutation: Mutation) -> bytes:
  lines = content.splitlines(keepends=True)
  lines[number] = apply(mutation, lines[number]).replace(b'\n', b' ') + b'\n'
  return b''.join(lines)


def _tokens(content: bytes, change) -> bytes:
  tokens = _TOKEN.findall(content.decode())
  change(tokens)
  return ''.join(tokens).encode()


def _swap(content: bytes, first: int, second: int) -> bytes:
  def change(tokens: list[str]) -> None:
    tokens[first], tokens[second] = tokens[second], tokens[first]

  return _tokens(content, change)


def _replace(content: bytes, number: int, text: str) -> bytes:
  return _tokens(content, lambda tokens: tokens.__setitem__(number, _text(text)))


def _before(content: bytes, number: int, text: str) -> bytes:
  return _tokens(content, lambda tokens: tokens.insert(number, _text(text)))


def _misspell(content: bytes, number: int, at: int) -> bytes:
  def change(tokens: list[str]) -> None:
    token = tokens[number]
    place = at % len(token)
    tokens[number] = token[:place] + token[place : place + 1] * 2 + token[place + 1 :]

  return _tokens(content, change)


def _flip(content: bytes, position: int, bit: int) -> bytes:
  if not content:
    return b'\0'
  at = position % len(content)
  return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]


def _write(content: bytes, position: int, text: str) -> bytes:
  at, new = position % max(len(content), 1), bytes.fromhex(text)
  return content[:at] + new + content[at + len(new) :]


def _insert(content: bytes, position: int, text: str) -> bytes:
  at = position % max(len(content), 1)
  return content[:at] + bytes.fromhex(text) + content[at:]


def _cut(content: bytes, position: int) -> bytes:
  return content[: position % max(len(content), 1)]


def _delete(content: bytes, position: int, length: int) -> bytes:
  at = position % max(len(content), 1)
  return content[:at] + content[at + length :]


def _repeat(content: bytes, position: int, length: int) -> bytes:
  at = position % max(len(content), 1)
  return content[: at + length] + content[at:]


def _footer(content: bytes, position: int, length: int, text: str) -> bytes:
  """Other bytes in the footer of a parquet file, which then says its new size."""
  size = int.from_bytes(content[-8:-4], 'little')
  body, footer = content[: -8 - size], content[-8 - size : -8]
  at = position % size
  footer = footer[:at] + bytes.fromhex(text) + footer[at + length :]
  return body + footer + len(footer).to_bytes(4, 'little') + content[-4:]


def _header(content: bytes) -> bytes:
  return content[8 : 8 + int.from_bytes(content[:8], 'little')]


def _in_header(content: bytes, mutation: Mutation) -> bytes:
  """Another header of a safetensors file, which then says its new size."""
  header = apply(mutation, _header(content))
  return len(header).to_bytes(8, 'little') + header + content[8 + len(_header(content)) :]


_APPLY = {
  'footer': _footer, 'header': _in_header,
  'set': _set, 'drop': _drop, 'rename': _rename, 'in line': _in_line, 'swap': _swap, 'replace': _replace, 'before': _before,
  'misspell': _misspell, 'flip': _flip, 'write': _write, 'insert': _insert, 'cut': _cut, 'delete': _delete, 'repeat': _repeat,
}  # fmt: skip
