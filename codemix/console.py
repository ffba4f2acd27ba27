"""Tables and colours, by rich."""

from __future__ import annotations

from typing import NoReturn, TextIO

import rich.console


class Console(rich.console.Console):
  """Writes to a stream; where that is no terminal, lines are as long as tables want them.

  Args:
    stream: stdout or stderr.
    width: characters of a line where there is no terminal, which rich would take for 80.
    soft_wrap: leaves it to the terminal to break lines that are longer.
  """

  def __init__(self, stream: TextIO, width: int, soft_wrap: bool = True):
    super().__init__(file=stream, highlight=False, soft_wrap=soft_wrap, width=None if stream.isatty() else width)

  def on_broken_pipe(self) -> NoReturn:
    """Leaves it to the command, which has an exit code for it."""
    raise
