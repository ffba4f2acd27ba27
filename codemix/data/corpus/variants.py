"""Variants of one corpus, which differ in one thing each: the arms of a study of what in code helps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

from codemix.checked import Name, NotEmpty, checked
from codemix.data.corpus.corpus import Corpus
from codemix.data.filters import Filter, is_corpus_wide
from codemix.data.transformations import Transformation


@checked
def variants(
  corpus: Corpus, kinds: Annotated[Mapping[Name, Sequence[Filter | Transformation]], NotEmpty()]
) -> dict[str, Corpus]:
  """The corpus once for each kind, with what that kind adds to it.

  All variants have the same files and the same held-out documents, since a document is held out by its text as it is
  distributed.

  Args:
    corpus: what they are variants of, with the filters that all have.
    kinds: for each source's name the filters and transformations that it has besides; `()` for the corpus as it is.
      Filters come behind those of the corpus, and before one that compares all documents. A document is filtered
      before it is transformed.

  Returns:
    A mapping for `Data.sources`.
  """
  return {name: _with(corpus, parts) for name, parts in kinds.items()}


def _with(corpus: Corpus, parts: Sequence[Filter | Transformation]) -> Corpus:
  wide = [filter for filter in corpus.filters if is_corpus_wide(filter)]
  added = [part for part in parts if isinstance(part, Filter)]
  return dataclasses.replace(
    corpus,
    filters=(*corpus.separate_filters, *added, *wide),
    transformations=(*corpus.transformations, *(part for part in parts if not isinstance(part, Filter))),
  )
