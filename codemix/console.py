"""Tables and colours, by rich."""

from __future__ import annotations

from typing import NoReturn, TextIO

import rich.console


class Console(rich.console.Console):
  """Writes to a stream; if it is not a terminal, lines are as long as the tables.

  Args:
    stream: stdout or stderr.
    width: characters per line without a terminal; rich would assume 80.
    soft_wrap: lets the terminal break longer lines.
  """

  def __init__(self, stream: TextIO, width: int, soft_wrap: bool = True):
    super().__init__(file=stream, highlight=False, soft_wrap=soft_wrap, width=None if stream.isatty() else width)

  def on_broken_pipe(self) -> NoReturn:
    """Raises it for the command line, which has an exit code for it."""
    raise
