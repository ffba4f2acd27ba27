"""Identifiers renamed: the structure of a program stays, what its names say goes."""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import TYPE_CHECKING, ClassVar, Literal

from codemix.checked import Name, Seed, checked
from codemix.data.python_source.names import is_pythons
from codemix.data.python_source.tokens import map_names
from codemix.data.transformations.of_program import of_program
from codemix.data.transformations.random_order import document_key, shuffled

if TYPE_CHECKING:
  from collections.abc import Sequence

  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class RenameIdentifiers:
  """Gives the names in a Python document other names, each the same one wherever it stands.

  All names are renamed, also those of modules, attributes and arguments, and in the fields of f-strings; but not
  keywords, builtins, features of `__future__`, and names such as `__init__`. What comes out parses, but seldom runs: the
  modules and methods of others are called otherwise too. Strings and comments stay as they are, with the names in them.
  A document that does not parse is dropped.

  Attributes:
    new_names: 'numbered' gives `v0`, `v1`, ..., numbered in a random order in each document. 'own' gives each name
      that of another one in the document, so that the words and how many there are stay, and only what they stand
      for goes.
    keep: more names that stay, such as 'self'.
    seed: of the orders.
  """

  stable_name, version = 'rename_identifiers', 1
  languages: ClassVar[tuple[str, ...]] = ('python',)

  new_names: Literal['numbered', 'own'] = 'numbered'
  keep: tuple[Name, ...] = ()
  seed: Seed = 0

  @property
  def name(self) -> str:
    new = 'v0, v1, ...' if self.new_names == 'numbered' else "names of the document's own"
    return f'identifiers renamed to {new}'

  def transformed(self, record: Record) -> str:
    return of_program(self._renamed, record.text)

  def _renamed(self, source: str) -> str:
    new = self._new_names(self._names(source), document_key(self.seed, source))
    return map_names(source, lambda name: new.get(_canonical(name), name))

  def _names(self, source: str) -> list[str]:
    """The names to change, once each, in the order of the source."""
    found: dict[str, None] = {}

    def see(name: str) -> str:
      found.setdefault(_canonical(name))
      return name

    map_names(source, see)
    return [name for name in found if not is_pythons(name) and name not in self.keep]

  def _new_names(self, names: Sequence[str], key: bytes) -> dict[str, str]:
    order = shuffled(names, key)
    if self.new_names == 'own':  # each gets the next one's, so that none keeps its own
      return dict(zip(order, order[1:] + order[:1], strict=True))
    numbered = (f'v{number}' for number in range(len(order) + len(self.keep)))
    return dict(zip(order, (name for name in numbered if name not in self.keep), strict=False))


def _canonical(name: str) -> str:
  """Python takes names that are equal after NFKC for one."""
  return name if name.isascii() else unicodedata.normalize('NFKC', name)
