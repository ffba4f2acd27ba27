"""Reads gin files and flags into gin's configuration, statement by statement, so that each mistake has its line.

gin's own loop does not record where a binding was, follows circular includes until Python's recursion
limit, and reads a byte order mark as part of a name.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import tokenize
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import gin
from codemix.config.errors import explanation, registered_names
from codemix.config.places import (
  MACRO,
  PLACES,
  Key,
  Place,
  PlacedError,
  last_name,
  parts_of,
  spelled,
  value_of,
)
from codemix.errors import UserError, nearest
from codemix.storage import local_path
from gin import config_parser

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_LANGUAGES = {'true': 'True', 'false': 'False', 'null': 'None', 'none': 'None', 'nil': 'None'}
_NOT_FINITE = ('inf', '-inf', 'nan', '-nan', 'infinity')
_TWICE = 'twice the key '
_COMPUTED = re.compile(r'[\w)\'"]\s*(\*\*?|//?|%|\+|-)\s*[\w(\'"]')
_TYPOGRAPHIC = re.compile('[\u2018\u2019\u201c\u201d\u00a0\u2028\u202f\u3000\ufeff]')


class Reading:
  """One reading of files and flags.

  Attributes:
    folders: searched for files, in this order.
    files: the paths of the files that were read.
    imports: their lines that import Python modules.
    repeated: (binding, first place, second place) of each name that one file binds twice.
  """

  def __init__(self, folders: Sequence[Path]):
    self.folders = tuple(folders)
    self.files: list[str] = []
    self.imports: list[str] = []
    self.repeated: list[tuple[Key, Place, Place]] = []

  def file(self, name: str, around: tuple[Path, ...] = ()) -> str:
    """Reads a file and its includes; returns its path.

    Raises UserError: naming file and line.

    Args:
      name: as written.
      around: the files that include it, from the outermost.
    """
    path = self._found(name, around)
    if any(path.samefile(outer) for outer in around):
      raise UserError(f'the includes go in a circle: {" includes ".join(map(str, (*around, path)))}.')
    self.files.append(str(path))
    stream = io.StringIO(_text(path), newline=None)
    stream.name = str(path)  # for gin's locations
    with gin.config._parse_scope() as context:
      for statement, place in _statements(stream, Place(str(path), 1)):
        with _at(place):
          self._apply(statement, place, context, (*around, path))
    return str(path)

  def flag(self, binding: str) -> None:
    """Reads one binding of the command line."""
    place = Place('', flag=binding.partition('=')[0].strip())
    with _at(place), gin.config._parse_scope() as context:
      statements = [statement for statement, _ in _statements(io.StringIO(binding), place)]
      if len(statements) != 1 or not isinstance(statements[0], config_parser.BindingStatement):
        raise UserError('write one binding, NAME=VALUE; include and import belong into a gin file.')
      self._apply(statements[0], place, context, ())

  def _apply(self, statement, place: Place, context, files: tuple[Path, ...]) -> None:
    match statement:
      case config_parser.BindingStatement():
        self._bind(statement, place)
      case config_parser.BlockDeclaration():
        if not context.get_configurable(statement.selector):
          gin.config._raise_unknown_configurable_error(statement.selector)
      case config_parser.ImportStatement():
        _import(statement, context)
        self.imports.append(statement.format())
      case config_parser.IncludeStatement():
        self.file(statement.filename, files)

  def _bind(self, statement: config_parser.BindingStatement, place: Place) -> None:
    scope, selector, parameter, value, _ = statement
    if not parameter:  # a macro: its name is the selector
      scope, selector, parameter = f'{scope}/{selector}'.lstrip('/'), MACRO, 'value'
    gin.bind_parameter((scope, selector, parameter), value)
    parsed = gin.config.ParsedBindingKey.parse((scope, selector, parameter))
    key = (*parsed.config_key, parsed.arg_name)
    before = PLACES.get(key)
    if before and place.file == before.file != '' and place.line != before.line:
      self.repeated.append((key, before, place))
    PLACES[key] = place

  def _found(self, name: str, around: tuple[Path, ...]) -> Path:
    if not name.strip():
      raise UserError("a gin file's name is empty: write --gin_file=FILE.")
    path = local_path(os.path.expanduser(name), 'a gin file')
    found = [folder / path for folder in self.folders if (folder / path).exists()]
    files = [each for each in found if each.is_file()]
    if files:
      return files[0]
    if found:
      inside = sorted(each.name for each in found[0].glob('*.gin')) if found[0].is_dir() else []
      such = f', such as {path / inside[0]}' if inside else ''
      raise UserError(f"'{name}' is {'a folder' if found[0].is_dir() else 'not an ordinary file'}: name a gin file{such}.")
    raise UserError(self._not_found(name, path, around))

  def _not_found(self, name: str, path: Path, around: tuple[Path, ...]) -> str:
    message = f"the gin file '{name}' is not found in {', '.join(map(str, self.folders))}."
    if around and (around[-1].parent / path).is_file():
      return f'{message} It is beside {around[-1]}: give --gin_search_paths={around[-1].parent}.'
    if ',' in name:
      return f'{message} Give --gin_file once for each file.'
    shipped = self.folders[-1]
    return message + nearest(name, [str(each.relative_to(shipped)) for each in shipped.rglob('*.gin')], '.gin')


def require_no_quoted_references() -> None:
  """Refuses '%NAME' and '@NAME()' in quotes, which are text, if there is such a macro or configurable.

  Raises UserError: naming the binding.
  """
  macros = {scope for scope, selector, _ in PLACES if selector == MACRO}
  names = set(registered_names())
  for key, place in PLACES.items():
    for part in parts_of(value_of(key)):
      if not isinstance(part, str):
        continue
      macro = part[:1] == '%' and part[1:] in macros
      if macro or (part[:1] == '@' and last_name(part[1:].removesuffix('()').rpartition('/')[2]) in names):
        raise UserError(f"{place}: {spelled(key)} has '{part}' in quotes, which is text: write {part} without quotes.")


class _Parser(config_parser.ConfigParser):
  """gin's parser, but refuses a dictionary with a repeated key, whose first value gin would drop."""

  def __init__(self, *arguments):
    self._keys: list[list] = []  # of the containers around the current token, from the outermost
    super().__init__(*arguments)

  def _maybe_parse_container(self):
    self._keys.append([])
    try:
      return super()._maybe_parse_container()
    finally:
      self._keys.pop()

  def _parse_dict_item(self):
    location = self._current_location()
    key, value = super()._parse_dict_item()
    if key in self._keys[-1]:
      self._raise_syntax_error(f'{_TWICE}{key!r}', location)
    self._keys[-1].append(key)
    return key, value


def _statements(stream: io.StringIO, place: Place) -> Iterator[tuple[tuple, Place]]:
  """The statements of a file or flag, each with its place."""
  at = place
  try:
    for statement in _Parser(stream, gin.config.ParserDelegate(False)):
      at = place.on(statement.location.line_num)
      yield statement, at
  except (SyntaxError, tokenize.TokenError) as error:
    text = stream.getvalue()
    number = error.lineno if isinstance(error, SyntaxError) else _first_line_of_the_unread(text)
    raise PlacedError(f'{at.on(number or at.line)}: {_syntax(error, number, text)}') from None
  except PlacedError:
    raise
  except Exception as error:  # such as an unknown reference, whose line gin appends
    found = re.search(r'\n  In .* line (\d+)', str(error))
    raise PlacedError(f'{at.on(int(found[1])) if found else at}: {explanation(error)}') from error


def _first_line_of_the_unread(text: str) -> int:
  """The first line of the statement that Python cannot split into tokens.

  `tokenize` reports the end of the text or the opening quote, depending on Python's version.
  """
  lines = io.StringIO(text).readlines()
  return next(number for number in range(len(lines), 0, -1) if _splits(''.join(lines[: number - 1])))


def _splits(text: str) -> bool:
  try:
    list(tokenize.generate_tokens(io.StringIO(text).readline))
  except tokenize.TokenError:
    return False
  return True


def _syntax(error: SyntaxError | tokenize.TokenError, number: int | None, text: str) -> str:
  """What does not parse, and what to write instead."""
  lines = text.split('\n')
  line = lines[number - 1].strip() if number and number <= len(lines) else ''
  if found := _TYPOGRAPHIC.search(line):
    return f"'{line}' has the typographic sign {found[0]!a}: write a plain quote or blank."
  message = error.msg if isinstance(error, SyntaxError) else error.args[0]
  if message.startswith(_TWICE):
    return f'a dictionary has the key {message.removeprefix(_TWICE)} twice, of which one value would be lost: name it once.'
  if isinstance(error, tokenize.TokenError) and not message.startswith('invalid'):
    start = f"'{line}' is not complete: " if line else ''
    return f'{start}a bracket, brace or quote is not closed by the end.'
  if found := re.search(r"Failed to parse token '([^']*)'", str(error)):
    if python := _OTHER_LANGUAGES.get(found[1].lower()):
      return f"the value does not parse at '{found[1]}'; write {python}."
    if found[1].lower() in _NOT_FINITE:
      return f"the value does not parse at '{found[1]}'; numbers are finite."
    word = re.search(rf'(?<![\w./]){re.escape(found[1])}[\w./:~-]*', line.partition('=')[2])
    return f"the value does not parse at '{found[1]}'; write a string in quotes, as in '{word[0] if word else 'text'}'."
  if line.startswith('--gin.'):
    return f"'{line}' is a flag: in a file write {line.removeprefix('--gin.')}."
  if _COMPUTED.search(line.partition('=')[2]):
    return f"'{line}' does not parse: gin computes nothing, so write the result."
  return f"'{line}' does not parse ({message.rstrip('.').lower()}). A line binds one value, NAME.PARAMETER = VALUE; a string stands in quotes."


@contextlib.contextmanager
def _at(place: Place) -> Iterator[None]:
  """Prefixes an error with the place, unless it has one."""
  try:
    yield
  except PlacedError:
    raise
  except Exception as error:
    raise PlacedError(f'{place}: {explanation(error)}') from error


def _import(statement: config_parser.ImportStatement, context: gin.config.ParseContext) -> None:
  if statement.module.split('.')[0] == '__gin__':  # dynamic_registration: then `@os.system()` is a configurable
    raise UserError(
      f"'{statement.module}' would let a gin file call any function of Python: register what it needs with gin.register in a module of yours, and import that."
    )
  try:
    context.process_import(statement)
  except Exception as error:
    if isinstance(error, ModuleNotFoundError) and error.name and f'{statement.module}.'.startswith(f'{error.name}.'):
      raise UserError(f"there is no module '{error.name}' to import; is its folder in PYTHONPATH?") from None
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = str(error).split('\n')[0]
    raise UserError(
      f"importing '{statement.module}' failed at {last.filename}, line {last.lineno}: {type(error).__name__}: {message}"
    ) from error


def _text(path: Path) -> str:
  """The text of a file, without a byte order mark.

  Raises UserError: it cannot be read, or is not UTF-8.
  """
  try:
    data = path.read_bytes()
  except OSError as error:
    raise UserError(f"the gin file '{path}' cannot be read: {error.strerror}.") from None
  if data.startswith(_UTF_16):
    raise UserError(f"the gin file '{path}' is UTF-16: save it as UTF-8.")
  try:
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = data.count(b'\n', 0, error.start) + 1
    raise UserError(f"the gin file '{path}' is not UTF-8 in line {line}: save it as UTF-8.") from None
  if '\0' in text:
    raise UserError(f"the gin file '{path}' has NUL bytes: it is not text.")
  return text
