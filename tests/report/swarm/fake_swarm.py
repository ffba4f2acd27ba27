"""A swarm with known effects of code, in the form of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

RUNS = 120
DOMAINS = ('stack-edu:Python', 'stack-edu:Markdown', 'web:games', 'web:health', 'pdf:law', 'pdf:art', 'wiki')
FALLS, CURVED, NOTHING, RISES = 'codex_humaneval:3shot', 'mbpp:3shot', 'hellaswag:rc', 'mmlu_law:rc'


def tables(runs: int = RUNS, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
  """(shares, figures): HumanEval falls by 0.2 for 10 points of code, MBPP along a curve, MMLU rises by 0.03, HellaSwag does nothing."""
  generator = np.random.default_rng(seed)
  code = np.minimum(generator.exponential(0.08, runs), 0.5)
  code[: runs // 12] = 0.0
  rest = generator.dirichlet(np.ones(5), runs) * (1 - code)[:, None]
  first = code * generator.random(runs)
  shares = np.column_stack([first, code - first, rest])
  noise = lambda: 0.03 * generator.normal(size=runs)
  figures = {
    FALLS: 2 - 2 * code + 0.2 * rest[:, 0] + noise(),
    CURVED: 1 + 2 * np.exp(-12 * code) + noise(),
    NOTHING: 1.2 + 0.3 * (rest[:, 1] - (1 - code) * rest[:, 1].sum() / rest.sum()) + noise(),
    RISES: 1.6 + 0.3 * code + noise(),
    'mmlu_art:rc': 1.4 + 0.3 * code + noise(),
  }
  labels = {'run': [f'r{number:03}' for number in range(runs)], 'name': [f'swarm-{number}' for number in range(runs)], 'index': range(runs)}
  return pd.DataFrame(labels | dict(zip(DOMAINS, shares.T, strict=True))), pd.DataFrame(labels | figures)


def write(folder: Path, shares: pd.DataFrame, figures: pd.DataFrame, ending: str = 'csv') -> str:
  """What --from takes."""
  folder.mkdir(parents=True, exist_ok=True)
  paths = [folder / f'{name}.{ending}' for name in ('ratios', 'metrics')]
  for path, table in zip(paths, (shares, figures), strict=True):
    table.to_parquet(path) if ending == 'parquet' else table.to_csv(path)
  return ','.join(map(str, paths))
