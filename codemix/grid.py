"""The recipes of a grid: each cell builds its recipe anew, with some values of the gin files changed."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import gin
from codemix.checked import Name, NotEmpty, ReadBy, checked, shown
from codemix.errors import UserError, nearest
from codemix.studies.fields import Field, require_field_names
from codemix.studies.recipe import Recipe
from gin import config_parser

_MACRO = 'gin.macro'
_RECIPE = 'recipe'  # the field of `grid.recipe`, if it names several


class _Value(NamedTuple):
  """One value of an axis: what cells with it are called, their field, and what is bound."""

  label: str
  field: Field
  bound: Mapping[str, Any]


def _builders(value: object, where: str) -> Mapping[str, Callable[[], Recipe]]:
  """What builds the recipe of a cell, by name; '' if there is one."""
  found = value if isinstance(value, Mapping) and value else {'': value}
  for name, build in found.items():
    if isinstance(build, Recipe):
      raise UserError(f'{where} is a recipe that is built already: write @NAME/Recipe without brackets, so that each cell of the grid builds its own.')
    if not isinstance(name, str) or not (inspect.isroutine(build) or isinstance(build, type) and issubclass(build, Recipe)):
      raise UserError(f'{where} is {shown(value)}; it is @NAME/Recipe without brackets, or a dictionary of several by name.')
  return found


@checked
def grid(
  recipe: Annotated[object, ReadBy(_builders, '@NAME/Recipe')],
  vary: Annotated[Mapping[Name, Annotated[Mapping[Name, Mapping[Name, object]], NotEmpty()] | Annotated[Sequence[Field], NotEmpty()]], NotEmpty()],
  name: str = '',
) -> dict[str, Recipe]:
  """A recipe for each combination of the values of some axes; `Study.seeds` repeats them.

  An axis is a list of values of a macro or parameter, `'WEIGHT': (0.1, 0.5)`, whose field is `weight`; or a field with named
  groups of values that go together, `'size': {'1M': {}, '3M': {'Recipe.model': @larger/ModelConfig(), 'PEAK': 4e-3}}`.

  Raises UserError: `recipe` is built already, nothing binds a varied macro, an axis changes no recipe, two cells have one name,
  or a cell's recipe is wrong.

  Args:
    recipe: `@NAME/Recipe` without brackets, so that each cell builds it; or several by name, which are the first axis, with the
      field `recipe`.
    vary: the axes, by field, macro or parameter.
    name: of a cell, with fields in braces as Python formats them: '{weight:.0%} code'. '' puts all values one after the other.

  Returns:
    Recipes for `Study.recipes`, the last axis varying fastest, each with its values as `Recipe.fields`.
  """
  axes = {_field_of(key): _values(key, values) for key, values in vary.items()}
  if len(axes) < len(vary) or (len(recipe) > 1 and _RECIPE in axes):
    raise UserError(f'grid.vary has two axes of one field ({", ".join(map(_field_of, vary))}): name one by a field of another name.')
  require_field_names(axes)
  cells: dict[str, Recipe] = {}
  built: dict[tuple[str, ...], Recipe] = {}
  for called, build in recipe.items():
    for values in itertools.product(*axes.values()):
      fields = {**({_RECIPE: called} if called else {}), **{field: value.field for field, value in zip(axes, values, strict=True)}}
      labels = (called, *(value.label for value in values))
      cell = _name(name, fields, labels)
      if cell in cells:
        raise UserError(f"grid makes two cells '{cell}': {'put every field into grid.name' if name else 'give the values of its axes names that differ'}.")
      cells[cell] = built[labels] = _built(build, cell, fields, [value.bound for value in values])
  for place, (field, values) in enumerate(axes.items(), 1):
    if len(values) > 1 and not _matters(built, place):
      raise UserError(f"grid.vary: no recipe changes with '{field}'. Do the stages of the recipe refer to what it binds?")
  return cells


def _field_of(key: str) -> str:
  """'WEIGHT' -> 'weight', 'late/Stage.tokens' -> 'tokens'."""
  return key.rpartition('.')[2].lower()


def _values(key: str, values: Mapping[str, Mapping[str, Any]] | Sequence[Field]) -> list[_Value]:
  if isinstance(values, Mapping):
    return [_Value(label, label, bound) for label, bound in values.items()]
  return [_Value(f'{_field_of(key)} {value}', value, {key: value}) for value in values]


def _name(form: str, fields: Mapping[str, Field], labels: Sequence[str]) -> str:
  if not form:
    return ', '.join(filter(None, labels))
  try:
    return form.format(**fields)
  except KeyError as error:
    raise UserError(f"grid.name refers to the field {error}, which the grid has not.{nearest(str(error.args[0]), fields)}") from None
  except (ValueError, IndexError, AttributeError, TypeError) as error:
    raise UserError(f"grid.name, '{form}', does not format {dict(fields)}: {error}.") from None


def _built(build: Callable[[], Recipe], cell: str, fields: Mapping[str, Field], bound: Sequence[Mapping[str, Any]]) -> Recipe:
  with contextlib.ExitStack() as stack:
    for bindings in bound:
      for key, value in bindings.items():
        stack.enter_context(_bound(key, value))
    recipe = build()
  if not isinstance(recipe, Recipe):
    raise UserError(f"grid.recipe builds {shown(recipe)} for the cell '{cell}', which is no Recipe.")
  return dataclasses.replace(recipe, fields={**recipe.fields, **fields})


@contextlib.contextmanager
def _bound(key: str, value: Any) -> Iterator[None]:
  """Binds a macro or a parameter in gin's configuration, and what was bound before afterwards."""
  scope, selector, parameter = _parsed(key)
  bindings = gin.config._CONFIG.setdefault((scope, selector), {})
  before = dict(bindings)
  bindings[parameter] = value
  try:
    yield
  finally:
    bindings.clear()
    bindings.update(before)


def _parsed(key: str) -> tuple[str, str, str]:
  """(scope, selector, parameter) of a binding, as gin keeps it."""
  if '.' not in key:
    macros = [scope for scope, selector in gin.config._CONFIG if selector == _MACRO]
    if key not in macros:
      raise UserError(f"grid.vary binds '{key}', and no gin file binds a macro of that name.{nearest(key, macros)}")
    return key, _MACRO, 'value'
  try:
    parsed = gin.config.ParsedBindingKey.parse(config_parser.parse_binding_key(key))
  except ValueError as error:
    raise UserError(f"grid.vary binds '{key}': {str(error).splitlines()[0]}") from None
  return parsed.scope, parsed.complete_selector, parsed.arg_name


def _matters(built: Mapping[tuple[str, ...], Recipe], place: int) -> bool:
  """Whether two cells that differ on this axis alone have other recipes."""
  groups: dict[tuple[str, ...], list[Recipe]] = {}
  for labels, recipe in built.items():
    groups.setdefault((*labels[:place], *labels[place + 1 :]), []).append(recipe)
  return any(_what(one) != _what(other) for group in groups.values() for one, other in itertools.pairwise(group))


def _what(recipe: Recipe) -> Recipe:
  """The recipe without its fields and baseline, which change nothing that is trained."""
  return dataclasses.replace(recipe, fields={}, baseline=None)
