"""Reads the two files of a swarm: what each run was trained on, and what it scored."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codemix.errors import UserError, nearest
from codemix.report.swarm.columns import code_columns, code_notes, few, task_groups
from codemix.storage import as_path
from codemix.storage.outages import naming_outages

if TYPE_CHECKING:
  import pandas as pd

RUN = 'run'  # the column that joins the files
LABELS = (RUN, 'name', 'index', '')  # columns that name a run or count it
SUM_TOLERANCE = 1e-3  # of the shares of a run: files may round them
ROUNDING = 1e-9  # a share that is negative by less is 0 less what a subtraction rounds
LARGEST = 1e100  # of a number: squares of larger ones, and their sums, may overflow
_NOT_SHOWN = ('Cc', 'Cs', 'Zl', 'Zp')  # categories of characters that a terminal obeys, or that are no text
ENDINGS = ('.csv', '.csv.gz', '.parquet')


@dataclasses.dataclass(frozen=True)
class Source:
  """A file that was read: its name without folders, and the SHA-256 of its bytes."""

  name: str
  sha256: str


@dataclasses.dataclass(frozen=True)
class Swarm:
  """N models, each trained on one mixture of D domains, with T figures each.

  Attributes:
    runs: their labels, in the order of the file of shares.
    domains: names. code: those of code.
    shares_NxD: of each run, with a sum of 1.
    tasks: names, of the figures.
    figures_NxT: NaN where a figure is missing.
    groups: the tasks by group.
    sources: the file of shares, and that of figures.
    left_out: a sentence for each thing that was left out.
    notes: a sentence for each domain, or several, whose name leaves open whether it is of code.
  """

  runs: tuple[str, ...]
  domains: tuple[str, ...]
  code: tuple[str, ...]
  shares_NxD: np.ndarray
  tasks: tuple[str, ...]
  figures_NxT: np.ndarray
  groups: dict[str, list[str]]
  sources: tuple[Source, Source]
  left_out: tuple[str, ...]
  notes: tuple[str, ...] = ()

  @property
  def code_N(self) -> np.ndarray:
    """The share of code of each run."""
    return self.shares_NxD[:, [domain in self.code for domain in self.domains]].sum(axis=1)

  @property
  def others(self) -> list[str]:
    """The domains that are not of code."""
    return [domain for domain in self.domains if domain not in self.code]


def read_swarm(ratios: str, metrics: str, code: Sequence[str] = (), groups: Sequence[str] = ()) -> Swarm:
  """Reads and joins the files.

  Args:
    ratios, metrics: paths on a disk or in a bucket; a row for each run with a column `run`.
    code: patterns of the domains of code; () for those that are known by name (`columns.is_code`).
    groups: of tasks, as 'NAME=PATTERN,PATTERN'; () for those that are known by name.

  Raises UserError: a file is missing or damaged, both are the same file, a column holds something other than numbers, or numbers above `LARGEST`, a run
  is there twice, shares are missing, negative or do not sum to 1, the files share no run, or what `columns` raises.
  """
  shares, shares_source = _read(ratios)
  figures, figures_source = _read(metrics)
  if shares_source.sha256 == figures_source.sha256:
    raise UserError(f'{ratios} and {metrics} are the same file: give the shares first, then the figures.')
  shares = _as_shares(shares, ratios)
  _require_finite(figures, metrics, 'Leave the cell empty if there is no figure.')
  left_out = []
  common = [run for run in shares.index if run in figures.index]
  if not common:
    hint = nearest(shares.index[0], figures.index)
    raise UserError(f"{ratios} and {metrics} have no run in common, by their columns '{RUN}': the first has '{shares.index[0]}'.{hint}")
  for frame, here, there in ((shares, ratios, metrics), (figures, metrics, ratios)):
    if alone := [run for run in frame.index if run not in (figures.index if frame is shares else shares.index)]:
      left_out.append(f'{len(alone):,} of the {len(frame):,} runs of {_short(here)} are not in {_short(there)}: {few(alone)}.')
  shares, figures = shares.loc[common], figures.loc[common]
  domains, tasks = tuple(shares.columns), tuple(figures.columns)
  of_code = tuple(code_columns(domains, code, ratios))
  return Swarm(
    runs=tuple(common),
    domains=domains,
    code=of_code,
    shares_NxD=shares.to_numpy(),
    tasks=tasks,
    figures_NxT=figures.to_numpy(),
    groups=task_groups(tasks, groups, metrics),
    sources=(shares_source, figures_source),
    left_out=tuple(left_out),
    notes=() if code else tuple(code_notes(domains, of_code)),
  )


def _read(name: str) -> tuple[pd.DataFrame, Source]:
  """The numbers of a file by run, and what was read."""
  import pandas as pd

  if name != _shown(name):
    raise UserError(f"'{_shown(name)}' has a control character in its name: rename the file.")
  path = as_path(name)
  ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
  if ending is None:
    raise UserError(f'{name}: give a file that ends in {", ".join(ENDINGS)}.')
  data = _bytes(path, name)
  source = Source(path.name, hashlib.sha256(data).hexdigest())
  try:
    if ending == '.parquet':
      table = _without_index(pd.read_parquet(io.BytesIO(data)))
      table = table.astype(object).where(table.notna(), '').astype(str)
    else:
      text = gzip.decompress(data) if ending == '.csv.gz' else data
      # As text, so that no name is taken for a number, and no column is renamed.
      rows = pd.read_csv(io.BytesIO(text), header=None, dtype=str, keep_default_na=False, encoding='utf-8').fillna('')
      table = rows.iloc[1:].reset_index(drop=True)
      table.columns = list(rows.iloc[0])
  except Exception as error:  # zlib, pandas and pyarrow each have errors of their own, and KeyErrors for damaged notes
    raise UserError(f'{name} is damaged: {_shown(" ".join(str(error).split())[:200])}') from None
  return _numbers(table, name), source


def _without_index(table: pd.DataFrame) -> pd.DataFrame:
  """Only the column that joins the files is kept of the index, as pandas writes it by `set_index`."""
  return (table.reset_index(level=RUN) if RUN in table.index.names else table).reset_index(drop=True)


def _bytes(path: Path, name: str) -> bytes:
  try:
    with naming_outages(path):
      return path.read_bytes()
  except FileNotFoundError:
    raise UserError(f'{name} does not exist.') from None
  except OSError as error:
    raise UserError(f'{name} cannot be read: {error.strerror or error}.') from None


def _numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
  """The columns that hold numbers, float64 by run; missing ones are NaN."""
  import pandas as pd

  columns = [_shown(str(column)) for column in table.columns]
  if twice := [column for column in dict.fromkeys(columns) if columns.count(column) > 1]:
    raise UserError(f'{name} has two columns of one name: {few(twice)}. Remove or rename one.')
  table.columns = columns
  if RUN not in columns:
    raise UserError(f"{name} has no column '{RUN}', which joins the files.{nearest(RUN, columns)}")
  runs = table[RUN].str.strip().map(_shown)
  if (runs == '').any():
    raise UserError(f"{name}: row {int(np.flatnonzero(runs == '')[0]) + 1} names no run in its column '{RUN}'.")
  if (again := runs[runs.duplicated()]).size:
    raise UserError(f'{name} has {again.nunique():,} runs more than once: {few(list(dict.fromkeys(again)))}. Keep one row of each.')
  found = {}
  for column in columns:
    if _is_label(column):
      continue
    cells = table[column].str.strip()
    numbers = pd.to_numeric(cells, errors='coerce')
    wrong = numbers.isna() & ~cells.str.lower().isin(['', 'nan', 'na', 'null', 'none'])
    if wrong.any():
      row = int(np.flatnonzero(wrong)[0])
      raise UserError(f"{name}: column '{column}' is not of numbers: run {runs.iloc[row]} has '{_shown(cells.iloc[row][:40])}'. Remove the column, or fix the cell.")
    found[column] = numbers.to_numpy(np.float64)
  if not found or not len(runs):
    raise UserError(f"{name} has no {'column of numbers' if len(runs) else 'rows'} besides {few([c for c in columns if c])}.")
  return pd.DataFrame(found, index=list(runs))


def _is_label(column: str) -> bool:
  """Whether a column names runs; pandas calls an index without a name 'Unnamed: 0' as it reads a CSV file."""
  return column.strip() in LABELS or column.startswith('Unnamed: ')


def _shown(name: str) -> str:
  """The name with escapes for what a terminal would obey: the one byte of ESC becomes the four characters \\x1b."""
  return ''.join(c.encode('unicode_escape').decode() if unicodedata.category(c) in _NOT_SHOWN else c for c in name)


def _require_finite(frame: pd.DataFrame, name: str, fix: str) -> None:
  values_NxC = frame.to_numpy()
  for wrong_NxC, what in ((np.isinf(values_NxC), 'is infinite'), (np.abs(values_NxC) > LARGEST, f'is beyond {LARGEST:g}')):
    if wrong_NxC.any():
      raise UserError(f'{name}: {_place(frame, wrong_NxC)} {what}. {fix}')


def _as_shares(shares: pd.DataFrame, name: str) -> pd.DataFrame:
  """The shares, none negative. Raises UserError: they are not shares."""
  _require_finite(shares, name, 'Fix it.')
  values_NxD = shares.to_numpy()
  for wrong_NxD, what, fix in (
    (np.isnan(values_NxD), 'is missing', 'Write 0 for a domain that the run did not draw on.'),
    (values_NxD < -ROUNDING, 'is negative', 'Shares are 0 or more.'),
  ):
    if wrong_NxD.any():
      raise UserError(f'{name}: {_place(shares, wrong_NxD)} {what}. {fix}')
  sums_N = values_NxD.sum(axis=1)
  wrong_N = np.abs(sums_N - 1) > SUM_TOLERANCE
  if wrong_N.any():
    row = int(np.flatnonzero(wrong_N)[0])
    large = [column for column in shares.columns if shares[column].max() > 1 + SUM_TOLERANCE]
    hint = f' Columns with values above 1, which may not be shares: {few(large)}.' if large else ''
    raise UserError(f'{name}: the shares of {wrong_N.sum():,} of {len(sums_N):,} runs do not sum to 1, such as {sums_N[row]:.6g} of run {shares.index[row]}.{hint}')
  return shares.clip(lower=0.0)


def _place(frame: pd.DataFrame, wrong_NxD: np.ndarray) -> str:
  row, column = (int(each[0]) for each in np.nonzero(wrong_NxD))
  more = int(wrong_NxD.sum()) - 1
  return f"'{frame.columns[column]}' of run {frame.index[row]}" + (f' (and {more:,} further cells)' if more else '')


def _short(name: str) -> str:
  return as_path(name).name
