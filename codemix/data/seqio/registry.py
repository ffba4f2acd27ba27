"""SeqIO's registry: imports the modules that register tasks and mixtures, and finds them by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Collection

import seqio

from codemix.data.seqio.task_documents import check_feature
from codemix.data.settings import Data
from codemix.errors import UserError, nearest


def import_tasks(data: Data) -> list[str]:
  """Imports `Data.task_modules`, with `$CODEMIX_DATA_DIR` set to the data folder.

  Returns:
    The files of the modules.

  Raises UserError: a module cannot be found.
  """
  os.environ['CODEMIX_DATA_DIR'] = str(data.root)
  if '' not in sys.path and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())  # a console script does not search the working folder
  try:
    modules = [importlib.import_module(name) for name in data.task_modules]
  except ModuleNotFoundError as error:
    raise UserError(
      f'a module of Data.task_modules = {data.task_modules} cannot be imported: {error}. Check the name and PYTHONPATH.'
    ) from None
  return [module.__file__ for module in modules if getattr(module, '__file__', None)]


def find_task(name: str, split: str, corpora: Collection[str] = ()) -> seqio.Task:
  """The registered task `name`, which must have `split`; `corpora` are further nearest names.

  Raises UserError: no such task, a mixture of that name, no such split, or no feature `targets`.
  """
  if name in seqio.MixtureRegistry.names():
    tasks = ', '.join(task.name for task in seqio.MixtureRegistry.get(name).tasks)
    raise UserError(
      f"'{name}' is a SeqIO mixture, not a task. In a stage's mixture write @{name}/seqio_mixture() in place of the name, and bind "
      f"{name}/seqio_mixture.name = '{name}' and {name}/seqio_mixture.rates = 'documents' (or 'tokens'). Elsewhere name its tasks: {tasks}."
    )
  if name not in seqio.TaskRegistry.names():
    raise UserError(
      f"no SeqIO task is named '{name}', nor a corpus of Data.sources.{nearest(name, {*seqio.TaskRegistry.names(), *corpora})} "
      'Add the corpus to Data.sources, or the module that registers the task to Data.task_modules.'
    )
  task = seqio.TaskRegistry.get(name)
  check_feature(task)
  if split not in task.splits:
    raise UserError(f"the SeqIO task '{name}' has no split '{split}'; it has {', '.join(task.splits)}.")
  return task
