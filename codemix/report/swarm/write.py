"""`codemix report --from`: the two files of a swarm become swarm.html, swarm.md and swarm.csv."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from codemix.errors import UserError
from codemix.report.swarm import html, text
from codemix.report.swarm.content import METRICS, Content, Metric, gather
from codemix.report.swarm.files import read_swarm
from codemix.report.swarm.frame import frame
from codemix.storage import as_path, write_text

FILES = ('swarm.html', 'swarm.md', 'swarm.csv')


def write_swarm_report(files: str, output: Path | str, code: Sequence[str] = (), groups: Sequence[str] = (), metric: Metric = 'bits_per_byte') -> tuple[Path, Content]:
  """Writes the three files of the report into `output`; the same files give the same bytes.

  Args:
    files: 'RATIOS,METRICS', two paths.
    code: patterns of the domains of code; () for those that are known by name.
    groups: of tasks, each as 'NAME=PATTERN,PATTERN'; () for those that are known by name.
    metric: what the figures are: 'bits_per_byte' (lower is better) or 'score' (higher is better).

  Returns:
    The path of swarm.html, and what it says.

  Raises UserError: `files` is not two paths, a file is not that of a swarm (`files.read_swarm`), nothing can be estimated, or the report
  cannot be written.
  """
  names = [name.strip() for name in files.split(',')]
  if len(names) != 2 or not all(names):
    raise UserError(f"--from={files}: give two files with a comma between them, the shares and the figures: --from=ratios.csv,metrics.csv.")
  content = gather(read_swarm(*names, code, groups), metric, _command(names, code, groups, metric))
  page, short, table = (as_path(output) / name for name in FILES)
  write_text(table, frame(content).to_csv(index=False, float_format='%.6g', lineterminator='\n'))
  write_text(short, text.render(content))
  write_text(page, html.render(content))
  return page, content


def _command(names: Sequence[str], code: Sequence[str], groups: Sequence[str], metric: Metric) -> str:
  words = ['codemix', 'report', f'--from={",".join(names)}']
  words += [f'--code={",".join(code)}'] if code else []
  words += [f'--groups={group}' for group in groups]
  words += [f'--metric={metric}'] if metric != next(iter(METRICS)) else []
  return shlex.join(words)
