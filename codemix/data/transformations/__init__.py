"""Kinds of code as counterfactuals: the text of a document in another form, which has lost one thing."""

from codemix.data.transformations.comments import OnlyComments, RemoveComments
from codemix.data.transformations.normalize_indentation import NormalizeIndentation
from codemix.data.transformations.rename_identifiers import RenameIdentifiers
from codemix.data.transformations.shuffle_lines import ShuffleLines
from codemix.data.transformations.shuffle_tokens import ShuffleTokens
from codemix.data.transformations.transformation import (
  Transformation,
  Unsuited,
  require_language,
  transform,
)

__all__ = [
  'NormalizeIndentation',
  'OnlyComments',
  'RemoveComments',
  'RenameIdentifiers',
  'ShuffleLines',
  'ShuffleTokens',
  'Transformation',
  'Unsuited',
  'require_language',
  'transform',
]
