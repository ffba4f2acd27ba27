"""SeqIO mixtures as codemix mixtures: `@seqio_mixture` names one, and its tasks take its place.

Only SeqIO knows the tasks and rates of a registered mixture, and training imports no TensorFlow.
So `codemix prepare` evaluates the rates (`mixture_rates`) and saves them beside the token stores, in
`stores/NAME.mixture`; planning and training read them there, also on another machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

from codemix.checked import Name, checked
from codemix.data.mixtures.mixture import Mixture
from codemix.data.settings import Data
from codemix.data.store import raw_files
from codemix.errors import UserError
from codemix.identity import file_digest
from codemix.storage import locked, read_json, remove, write_json

RATES = 'rates.json'


@dataclasses.dataclass(frozen=True)
class SeqioMixture(Mixture):
  """A registered SeqIO mixture, until `expand` puts its tasks in its place; `rates` as below."""

  rates: str = ''


@checked
def seqio_mixture(name: Name, rates: Literal['documents', 'tokens']) -> Mixture:
  """A mixture of SeqIO's registry, which may stand wherever a mixture may.

  In SeqIO a task's rate over the sum of the rates is the probability that an example is drawn from
  it. With rates='documents' it is the task's share of the documents, as in SeqIO without packing;
  the shares of tokens then follow from the lengths of the prepared documents. With rates='tokens'
  it is the task's share of the loss tokens. A module of Data.task_modules registers the mixture.
  """
  return SeqioMixture(name, Fraction(1), rates=rates)


def named(tree: Mixture) -> list[str]:
  """The names of the SeqIO mixtures in a mixture that are not expanded."""
  if isinstance(tree, SeqioMixture):
    return [tree.name]
  return [name for part in tree.parts for name in named(part)]


def expand(tree: Mixture, rates_of: Callable[[str], Mapping]) -> Mixture:
  """The mixture with a group of tasks in place of each SeqIO mixture.

  `rates_of` gives the rates of a SeqIO mixture by its name, as `mixture_rates.mixture_rates`.
  """
  if not isinstance(tree, SeqioMixture):
    return dataclasses.replace(tree, parts=tuple(expand(part, rates_of) for part in tree.parts))
  return Mixture(tree.name, tree.weight, _parts(rates_of(tree.name)['parts'], tree.rates), tree.documents)


def _parts(members: Sequence[Mapping], rates: str) -> tuple[Mixture, ...]:
  total = sum(Fraction(member['rate']) for member in members)
  parts = []
  for member in members:
    share = Fraction(member['rate']) / total
    weight, documents = (share, None) if rates == 'tokens' else (None, share)
    parts.append(Mixture(member['name'], weight, _parts(member.get('parts', ()), rates), documents))
  return tuple(parts)


def save_rates(name: str, rates: Mapping, modules: Sequence[str], data: Data) -> None:
  """Saves the `mixture_rates` of a mixture, and the digests of the modules that register it."""
  folder = _folder(name, data)
  with locked(folder, f'reading the SeqIO mixture {name}'):
    remove(folder / RATES)  # so that old rates never stand beside new digests
    raw_files.remember(folder, {path: file_digest(path) for path in modules})
    write_json(folder / RATES, rates)


def load_rates(name: str, data: Data) -> dict:
  """The rates of a mixture as `codemix prepare` saved them.

  Raises UserError: they are not saved or damaged, a module was edited since, or a task has the name
  of a corpus.
  """
  folder = _folder(name, data)
  if not (folder / RATES).exists():
    raise UserError(
      f"the tasks and rates of the SeqIO mixture '{name}' are not in {data.root}. Run `codemix prepare` with the same gin files, "
      'or set CODEMIX_DATA_DIR (or Data.directory) to where they are.'
    )
  raw_files.check(folder, name)
  rates = read_json(folder / RATES, {'name': str, 'parts': [{'name': str, 'rate': str}]}, 'Run `codemix prepare`, which writes it again.')
  check_names(rates, data)
  return rates


def check_names(rates: Mapping, data: Data) -> None:
  """Raises UserError where a task of a mixture has the name of a corpus, which would be read in its place."""
  for member in rates['parts']:
    if 'parts' in member:
      check_names(member, data)
    elif member['name'] in data.corpora:
      raise UserError(
        f"the SeqIO mixture '{rates['name']}' has the task '{member['name']}', and Data.sources has a corpus of that name. Rename one of them."
      )


def _folder(name: str, data: Data) -> Path:
  return data.root.absolute() / 'stores' / f'{name}.mixture'
