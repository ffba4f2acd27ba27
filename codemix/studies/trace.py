"""Traces training data: the rows of a step, and the steps that read a passage."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.stage_rows import StageRows
from codemix.data.store import find_text
from codemix.errors import UserError
from codemix.studies.planning import StudyPlan
from codemix.training.stage import StagePlan


def trace_step(plan: StudyPlan, stage_plan: StagePlan, step: int) -> list[dict]:
  """The rows of one global batch, in order.

  `step` is of the stage, from 1. Raises UserError if the stage has no such step.

  Returns:
    {'source', 'epoch', 'row' (of the epoch), 'documents' (their numbers), 'text'} of each.
  """
  if not 1 <= step <= stage_plan.steps:
    raise UserError(f"stage '{stage_plan.stage.name}' has steps 1 to {stage_plan.steps:,}, not {step}.")
  rows = _stage_rows(plan, stage_plan)
  batch = stage_plan.stage.batch
  located = rows.locate((step - 1) * batch, step * batch)
  return [
    {
      'source': rows.names[s],
      'epoch': epoch,
      'row': row,
      'documents': _documents(rows.sources[s], row),
      'text': plan.tokenizer.decode(rows.sources[s].row(row)['targets'].tolist()),
    }
    for s, epoch, row in zip(*(a.tolist() for a in located), strict=True)
  ]


def _documents(source: PreparedSource, row: int) -> list[int]:
  """Numbers of the documents with tokens in a row; the first may begin in an earlier row."""
  first, last = row * source.length, (row + 1) * source.length - 1
  return list(range(source.store.document_at(first), source.store.document_at(last) + 1))


def trace_text(plan: StudyPlan, stages: list[StagePlan], text: str) -> Iterator[dict]:
  """Each document of these stages' sources that holds a passage, with the steps that read it there.

  Raises UserError if the passage is empty or a source is streamed.

  Args:
    text: the passage; bytes of the command line that are not UTF-8 are searched for as they are.

  Yields:
    {'source', 'document', 'times' (how often the document holds the passage), 'seen': [{'stage',
    'step' (of the stage, from 1), 'run_step', 'row' (of the batch), 'epoch'}, ...]}, each row once;
    'seen' is empty where no step read the rows.
  """
  wanted = _bytes_of(text)
  stage_rows = [(stage_plan, _stage_rows(plan, stage_plan)) for stage_plan in stages]
  read = {name for _, rows in stage_rows for name in rows.names}
  for name in (name for name in plan.sources if name in read):
    source = plan.sources[name]
    found = find_text.find(source.store, plan.tokenizer, wanted)
    for document, places in itertools.groupby(found, key=lambda place: place.document):
      places = list(places)
      yield {
        'source': name,
        'document': document,
        'times': len(places),
        'seen': [
          seen
          for stage_plan, stage in stage_rows
          if name in stage.names
          for seen in _reads(stage_plan, stage, name, _rows_of(places, plan.sources_of(stage_plan.length)[name]))
        ],
      }


def _bytes_of(text: str) -> bytes:
  if not text:
    raise UserError('--find wants some text to look for.')
  try:
    return text.encode('utf-8', 'surrogateescape')
  except UnicodeEncodeError as error:
    raise UserError(f'--find: {text!a} holds half of a surrogate pair, which is not text: {error.reason}.') from None


def _rows_of(places: Sequence[find_text.Passage], source: PreparedSource) -> list[int]:
  """The rows of a source in which the places lie, ascending."""
  rows = {row for p in places for row in range(p.start // source.length, -(-p.stop // source.length))}
  return sorted(row for row in rows if row < len(source))


def _reads(stage_plan: StagePlan, stage: StageRows, source: str, rows: list[int]) -> list[dict]:
  found = [place for row in rows for place in stage.rows_that_read(stage.names.index(source), row)]
  described = []
  for epoch, at in sorted(found, key=lambda place: place[1]):
    step, row = divmod(at, stage_plan.stage.batch)
    described.append(
      {
        'stage': stage_plan.folder_name,
        'step': step + 1,
        'run_step': stage_plan.first_step + step + 1,
        'row': row,
        'epoch': epoch,
      }
    )
  return described


def _stage_rows(plan: StudyPlan, stage_plan: StagePlan) -> StageRows:
  if any(source.streamed for source in plan.sources.values()):
    raise UserError(
      'a streamed source has no rows that can be looked up; set Data.streaming to False and prepare it to see what a step read.'
    )
  return stage_plan.rows(plan.sources_of(stage_plan.length))
