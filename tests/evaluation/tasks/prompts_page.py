"""Writes docs/prompts.md and tests/golden/prompts.txt.

    python -m tests.evaluation.tasks.prompts_page

The page has prompts of made-up items, since no text of a benchmark is kept in the project. The golden file has the number
and the digest of all prompts of the real sets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.evaluation.tasks.registry import TASKS
from codemix.evaluation.tasks.show_prompts import prompts
from codemix.evaluation.tasks.task import Settings
from codemix.studies.show_tasks import file_of
from tests.evaluation.tasks.fixtures import FORMS

ROOT = Path(__file__).resolve().parents[3]
PAGE, GOLDEN = ROOT / 'docs' / 'prompts.md', ROOT / 'tests' / 'golden' / 'prompts.txt'
REAL = ROOT.parent / 'shared' / 'data' / 'eval'
EACH = 3

HEAD = """# Prompts

What a model is shown, three items of each benchmark. The items are made up, in the form of the released files: no
benchmark's text is kept in this project. `codemix evaluate --tasks=piqa --show_prompts=3` prints those of your own files.
`python -m tests.evaluation.tasks.prompts_page` writes this page, and a test compares the two.

Texts are quoted as Python writes them, so that spaces and line ends can be seen. `*` marks right continuations, `-` wrong ones.
"""


def page() -> str:
  return '\n'.join([HEAD, *_sections()]) + '\n'


def _sections() -> Iterator[str]:
  for name, task in TASKS.items():
    found = [write for of, _, _, write in FORMS if of == name]
    if not found:
      continue
    with tempfile.TemporaryDirectory() as folder:
      found[0](Path(folder))
      items = task.evaluator(Settings(EvaluationFolder(Path(folder)))).items
    shown = '\n\n'.join(prompts(items, EACH))
    yield f'## {name}\n\n```text\n{shown}\n```\n'


def golden() -> str:
  """A line for each task whose real file is there: its items, and the digest of what a model is shown."""
  lines = []
  for name, task in TASKS.items():
    wanted = file_of(task)
    if wanted and EvaluationFolder(REAL).is_there(wanted):
      identity = task.evaluator(Settings(EvaluationFolder(REAL))).identity
      lines.append(f'{name} {identity["items"]} {identity["prompts"][:16]}')
  return '\n'.join(lines) + '\n'


if __name__ == '__main__':
  PAGE.write_text(page())
  GOLDEN.write_text(golden())
