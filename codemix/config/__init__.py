"""gin: reads files and flags, builds what they configure, and refuses bindings without effect."""

from codemix.config.effect import check_used, shadowed
from codemix.config.load import (
  bindings_of,
  build,
  files_read,
  gin_directory,
  is_bound,
  parse,
  scopes_of,
)
from codemix.config.one_file import one_file
