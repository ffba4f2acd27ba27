"""How the programs of the shared verified-code files are put together: solution, then its tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Program(NamedTuple):
  """A solution with its tests."""

  id: str
  language: str
  text: str


def mbxp(row: dict) -> list[Program]:
  if not row['canonical_solution']:
    return []
  solution, test = row['prompt'] + row['canonical_solution'], row['test']
  if row['language'] == 'python':
    # Four solutions are called `check` themselves, as is what tests them.
    solution, test = f'{solution}\nSOLUTION = {row["entry_point"]}\n', f'{test}\ncheck(SOLUTION)\n'
  return [Program(row['task_id'], row['language'], solution + test)]


def cruxeval(row: dict) -> list[Program]:
  return [Program(row['id'], 'python', row['text'])]


def p3(row: dict) -> list[Program]:
  return [
    puzzle(row['name'], row['sat'], '\n'.join(filter(None, (row['sol_header'], row['sol_docstring'], body))))
    for body in row['sol_bodies']
  ]


def p3_text(row: dict) -> list[Program]:
  return [puzzle(row['name'], row['text'])]


def puzzle(name: str, *parts: str) -> Program:
  return Program(name, 'python', '\n\n\n'.join(('from typing import *', *parts, 'assert sat(sol()) is True\n')))


FILES: dict[str, Callable[[dict], list[Program]]] = {
  'mbxp/mbpp_release_v1.jsonl.gz': mbxp,
  'mbxp/mbjsp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbtsp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbphp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbrbp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbjp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbcpp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbcsp_release_v1.2.jsonl.gz': mbxp,
  'mbxp/mbkp_release_v1.2.jsonl.gz': mbxp,
  'mathqa_python/mathqa-test-python_v1.jsonl.gz': mbxp,
  'cruxeval_text/cruxeval_text.jsonl.gz': cruxeval,
  'p3_puzzles/puzzles.json.gz': p3,
  'p3_puzzles/puzzles_text.jsonl.gz': p3_text,
}


def programs(shared_data: Path, file: str) -> Iterator[Program]:
  """The programs of a file below corpora/verified_code, in its order; none for a problem without a solution."""
  with gzip.open(shared_data / 'corpora' / 'verified_code' / file, 'rt', encoding='utf-8') as lines:
    rows = json.load(lines) if file.endswith('.json.gz') else map(json.loads, lines)
    for row in rows:
      yield from FILES[file](row)
