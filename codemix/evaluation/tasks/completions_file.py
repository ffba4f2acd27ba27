"""Completions made elsewhere, and the prompts for whoever makes them."""

from __future__ import annotations

import collections
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from codemix.data.evaluation_sets.records import records_of
from codemix.errors import UserError, nearest
from codemix.formatting import count
from codemix.identity import file_digest
from codemix.storage import as_path, write_bytes

_FIELDS = ('task', 'id', 'completion')
_UPSTREAM_FIELDS = ('task_id', 'completion')  # of HumanEval's own files


def read_completions(path: str, task: str, known: Collection[str], wanted: Sequence[str]) -> list[list[str]]:
  """The completions of each wanted item, in the order of the file.

  A line is {'task', 'id', 'completion'}, or {'task_id', 'completion'} as HumanEval's own files have them. Several
  lines of an item are its samples. Lines of other tasks are skipped.

  Args:
    task: name of the task.
    known: ids of all items of the task.
    wanted: ids of those that are scored; a part of `known`.

  Raises UserError for a damaged file, an unknown id, a field too many or missing, a wanted item without completions,
  or items with different numbers of them.
  """
  _require_file(path)
  found, others = collections.defaultdict(list), {}
  known = frozenset(known)
  for place, row in records_of(path, head=True):
    of_task, id, completion = _line(place, row)
    if of_task not in (None, task):
      others[of_task] = None
    elif id not in known:
      raise UserError(f"{place}: task '{task}' has no item '{id}'.{nearest(id, known)}")
    else:
      found[id].append(completion)
  if not found:
    has = f"it has those of {', '.join(map(repr, others))}. 'task' must be '{task}'." if others else 'it is empty.'
    raise UserError(f"{path} has no completions of task '{task}': {has}")
  if missing := [id for id in wanted if id not in found]:
    raise UserError(
      f"{path} lacks the completions of {count(len(missing), 'item')} of task '{task}', such as '{missing[0]}': "
      'write an empty completion for an item that the model did not answer.'
    )
  samples = len(found[wanted[0]]) if wanted else 0
  if other := next((id for id in wanted if len(found[id]) != samples), None):
    raise UserError(
      f"{path}: item '{other}' of task '{task}' has {count(len(found[other]), 'completion')}, '{wanted[0]}' has {samples}: give each as many."
    )
  return [found[id] for id in wanted]


def completions_digest(path: str) -> str:
  """sha256 of a file of completions. Raises UserError if it does not exist."""
  _require_file(path)
  return file_digest(as_path(path))


def _require_file(path: str) -> None:
  if not (file := as_path(path)).is_file():
    raise UserError(f'{path}, the file of completions, {"is a folder" if file.is_dir() else "does not exist"}.')


def write_prompts(evaluators: Iterable[Any], path: Path) -> int:
  """Writes what an engine elsewhere must complete: JSON lines of 'task', 'id', 'prompt' and the decoding.

  Args:
    evaluators: of tasks that generate: they have `task` with a `name`, `items`, and `decoding`.
    path: of the file.

  Returns:
    The number of prompts.
  """
  lines = []
  for evaluator in evaluators:
    decoding = evaluator.decoding
    settings = {
      'max_tokens': decoding.max_new_tokens,
      'temperature': decoding.temperature,
      'top_k': decoding.top_k,
      'top_p': decoding.top_p,
      'stop': list(decoding.stop),
      'n': decoding.samples,
      'seed': decoding.seed,
    }
    for item in evaluator.items:
      lines.append(json.dumps({'task': evaluator.task.name, 'id': item.id, 'prompt': item.prompt, **settings}) + '\n')
  write_bytes(path, ''.join(lines).encode())
  return len(lines)


def _line(place: str, row) -> tuple[str | None, str, str]:
  """(task or None, id, completion) of a line."""
  fields = _UPSTREAM_FIELDS if 'task_id' in row else _FIELDS
  if missing := [field for field in fields if field not in row]:
    raise UserError(f"{place} lacks '{missing[0]}': a line is {{'task', 'id', 'completion'}}, or HumanEval's {{'task_id', 'completion'}}.")
  if extra := [field for field in row if field not in fields]:
    raise UserError(f"{place} has the field '{extra[0]}', which codemix does not read.{nearest(extra[0], fields)} Leave it out.")
  for field in fields:
    if not isinstance(row[field], str):
      raise UserError(f"{place}: '{field}' is {type(row[field]).__name__}, not text.")
  return row.get('task'), row[fields[-2]], row['completion']
