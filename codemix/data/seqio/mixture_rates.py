"""The tasks and rates of a mixture in SeqIO's registry, as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import seqio

from codemix.data.seqio.registry import import_tasks
from codemix.data.settings import Data
from codemix.errors import UserError, nearest

Rate = float | Callable[[seqio.Task], float]


def read_rates(name: str, data: Data) -> tuple[dict, list[str]]:
  """Imports `Data.task_modules` and evaluates the rates of a mixture.

  Returns:
    The rates as `mixture_rates`, and the files of the modules.

  Raises UserError as `mixture_rates`, or no mixture has this name.
  """
  modules = import_tasks(data)
  if name in seqio.TaskRegistry.names():
    raise UserError(f"seqio_mixture.name is '{name}', which is a SeqIO task, not a mixture: name it as a source.")
  known = seqio.MixtureRegistry.names()
  if name not in known:
    raise UserError(
      f"no SeqIO mixture is named '{name}'.{nearest(name, known)} Add the module that registers it to Data.task_modules."
    )
  return mixture_rates(seqio.MixtureRegistry.get(name)), modules


def mixture_rates(mixture: seqio.Mixture) -> dict:
  """The members of a mixture with their rates; functions are called, and nested mixtures are followed.

  Returns:
    {'name', 'parts': [{'name', 'rate', and of a nested mixture 'parts'}, ...]}. A rate is text: the
    shortest decimal of a float.

  Raises UserError: a rate is not a finite number of at least 0, or all of a mixture are 0; or a
  nested mixture is not registered.
  """
  tasks = {task.name: task for task in mixture.tasks}
  parts = []
  for name, rate in mixture.rate_per_task_name.items():
    if name not in tasks and name not in seqio.MixtureRegistry.names():
      raise UserError(f"the SeqIO mixture '{mixture.name}' contains the mixture '{name}', which is not registered: add it with seqio.MixtureRegistry.add.")
    member = tasks.get(name) or seqio.MixtureRegistry.get(name)
    nested = mixture_rates(member) if isinstance(member, seqio.Mixture) else {}
    parts.append({**nested, 'name': name, 'rate': _number(rate, member, mixture)})
  if not any(Fraction(part['rate']) for part in parts):
    raise UserError(f"every rate of the SeqIO mixture '{mixture.name}' is 0; at least one must be above 0.")
  return {'name': mixture.name, 'parts': parts}


def _number(rate: Rate, member: seqio.Task | seqio.Mixture, mixture: seqio.Mixture) -> str:
  where = f"the rate of '{member.name}' in the SeqIO mixture '{mixture.name}'"
  try:
    number = float(rate(member) if callable(rate) else rate)
  except Exception as error:  # a user's function may raise anything
    raise UserError(f'{where} cannot be computed: {type(error).__name__}: {error}.') from error
  if not math.isfinite(number) or number < 0:
    raise UserError(f'{where} is {number}; a rate is a finite number of at least 0.')
  return repr(number)
