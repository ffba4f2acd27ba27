"""`pilot.gin`: the noise that a pilot has measured, as `codemix plan --power` reads it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from codemix.inference.components import Components
from codemix.studies.pilot import PilotPlan

NAME = 'pilot.gin'  # in the study's folder
_FIELDS = ('seed', 'items', 'arm_item', 'residual', 'sampling')


def pilot_file(plan: PilotPlan, components: Mapping[str, Components], units: Mapping[str, str], folders: Sequence[str]) -> str:
  """The text of the file.

  Args:
    units: of the components, by task.
    folders: of the stages whose models were scored.
  """
  scopes = _scopes(components)
  lines = [
    '# codemix plan --power --gin_file=... --gin_file=PATH_OF_THIS_FILE',
    f"# The noise of scores, measured by `codemix study --pilot` on seeds {', '.join(map(str, plan.seeds))} of '{_comment(plan.arm)}' after stage {plan.stage[1]}, '{_comment(plan.stage[0])}'.",
    *(f'#   {folder}' for folder in folders),
    f'# Standard deviations{_units(units)}. One arm says nothing of the choice of items between two arms (arm_item):',
    '# what is planned with them is about these items alone.',
    'Power.components = {',
    *(f'    {task!r}: @{scope}/Components(),' for task, scope in scopes.items()),
    '}',
    *(line for task, scope in scopes.items() for line in _bindings(scope, components[task])),
  ]
  return '\n'.join(lines) + '\n'


def _scopes(components: Mapping[str, Components]) -> dict[str, str]:
  """A scope of gin for each task: its name with what gin allows, each once."""
  found: dict[str, str] = {}
  for task in components:
    stem = re.sub(r'\W', '_', f'noise_of_{task}', flags=re.ASCII)
    names = (stem if number == 1 else f'{stem}_{number}' for number in itertools.count(1))
    found[task] = next(name for name in names if name not in found.values())
  return found


def _units(units: Mapping[str, str]) -> str:
  named = {unit: ', '.join(task for task, of in units.items() if of == unit) for unit in dict.fromkeys(units.values())}
  return f' in {next(iter(named))}' if len(named) == 1 else ''.join(f'; in {unit} of {_comment(tasks)}' for unit, tasks in named.items())


def _bindings(scope: str, components: Components) -> Iterator[str]:
  for field in _FIELDS:
    value = getattr(components, field)
    if value or field == 'seed':
      yield f'{scope}/Components.{field} = {value!r}'


def _comment(text: str) -> str:
  return ' '.join(text.split())
