"""Files of one row a line, with tabs between the cells: `.tsv`, plain or compressed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import NotEmpty, checked
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.raw.record import BadRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Tsv(JsonLines):
  """Lines of cells without quotes, read as `JsonLines` reads its lines; a first line with names is a row like the others.

  Attributes:
    columns: a name for each cell of a line. A line with more or fewer cells is set aside.
  """

  stable_name, version = 'tsv', 1

  columns: Annotated[tuple[str, ...], NotEmpty()]

  def _row(self, place: str, line: bytes | None) -> tuple[str, Mapping] | BadRecord | None:
    if line is None or not line.strip():
      return super()._row(place, line)
    try:
      cells = line.decode('utf-8-sig').removesuffix('\r').split('\t')
    except UnicodeDecodeError as error:
      return BadRecord(place, 'not UTF-8', str(error.reason))
    if b'\0' in line or len(cells) != len(self.columns):
      reason = 'NUL byte' if b'\0' in line else 'wrong cells'
      return BadRecord(place, reason, f'{len(cells)} cells for {len(self.columns)} columns')
    return place, dict(zip(self.columns, cells, strict=True))
