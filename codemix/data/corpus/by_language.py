"""One corpus a language, where a distribution has a folder for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from codemix.checked import Name, checked
from codemix.data.corpus.corpus import Corpus
from codemix.data.languages import Table, language_table, source_name
from codemix.errors import UserError

PLACE = '{language}'


@checked
def corpora_by_language(
  corpus: Corpus, table: Table, source: Name = PLACE, without: Sequence[Name] = ()
) -> dict[str, Corpus]:
  """The same corpus for each language of one of the paper's tables.

  Raises UserError: '{language}' is not in `source` and every pattern of the files, or there is no
  such table or language.

  Args:
    corpus: the pattern: '{language}' in its files, in its name and in the
      constants of its layout stands for the language, as The Stack spells folders.
    table: 'code' (Table 3) or 'markup' (Table 4).
    source: the tasks' name, with '{language}' in it.
    without: languages that the distribution lacks.

  Returns:
    A mapping for `Data.sources`, in the table's order; `language_shares` has the
    same names.
  """
  for pattern in (source, *_patterns(corpus)):
    if PLACE not in pattern:
      raise UserError(f"corpora_by_language: '{pattern}' would be the same for every language; put {PLACE} into it.")
  return {
    source_name(source, language): _of_language(corpus, language)
    for language in language_table(table, without)
  }


def _patterns(corpus: Corpus) -> list[str]:
  return [p for patterns in corpus.files.values() for p in ([patterns] if isinstance(patterns, str) else patterns)]


def _of_language(corpus: Corpus, language: str) -> Corpus:
  fill = lambda text: text.replace(PLACE, language)
  files = {
    split: fill(patterns) if isinstance(patterns, str) else tuple(map(fill, patterns))
    for split, patterns in corpus.files.items()
  }
  layout = corpus.layout
  if constants := getattr(layout, 'constants', None):
    layout = dataclasses.replace(layout, constants={k: fill(v) for k, v in constants.items()})
  return dataclasses.replace(corpus, files=files, layout=layout, name=fill(corpus.name))
