"""The folder of the standard library: code with its comments, on every machine that has Python."""

from __future__ import annotations

import sysconfig

from codemix.checked import checked


@checked
def standard_library() -> str:
  """The folder of Python's standard library, for `Corpus.root`. Its files differ between versions of Python."""
  return sysconfig.get_path('stdlib')
