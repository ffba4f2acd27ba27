"""Filters with names: each keeps a record, or gives the reason why it is dropped."""

from codemix.data.filters.code_quality import (
  GeneratedBy,
  HexLiterals,
  MaxFloats,
  TopLevelDomainLists,
)
from codemix.data.filters.encoding import Encoding
from codemix.data.filters.filter import ExactDuplicates, Filter, is_corpus_wide
from codemix.data.filters.selection import Extensions, Languages, Sets, Size

__all__ = [
  'Encoding',
  'ExactDuplicates',
  'Extensions',
  'Filter',
  'GeneratedBy',
  'HexLiterals',
  'Languages',
  'MaxFloats',
  'Sets',
  'Size',
  'TopLevelDomainLists',
  'is_corpus_wide',
]
