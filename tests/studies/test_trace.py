import numpy as np
import pytest

from codemix.data.batches.ledger import StageRows
from codemix.errors import UserError
from codemix.studies.planning import plan_study
from codemix.studies.trace import trace_step, trace_text
from tests import tiny_study


@pytest.fixture(scope='module')
def plan(tmp_path_factory):
  data = tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=4000)
  return plan_study(tiny_study.study(arm=tiny_study.balanced_to_text(8)), data)


def test_a_step_shows_the_rows_that_it_is_trained_on(plan):
  for stage_plan in plan.stages():
    shown = trace_step(plan, stage_plan, stage_plan.steps)
    rows = StageRows(plan.sources, stage_plan.draws, stage_plan.segments, stage_plan.seed)
    first = (stage_plan.steps - 1) * tiny_study.BATCH
    which, epochs, _ = rows.locate(first, first + tiny_study.BATCH)
    assert [row['source'] for row in shown] == [rows.names[s] for s in which]
    assert [row['epoch'] for row in shown] == epochs.tolist()
    for row in shown:
      source = plan.sources[row['source']]
      read = source.row(row['row'])
      assert row['text'] == plan.tokenizer.decode(read['targets'].tolist())
      assert len(row['documents']) == read['segment_ids'].max()
      begins = np.concatenate([[0], source.store.document_ends])[row['documents']]
      assert (begins < (row['row'] + 1) * source.length).all()


def test_a_passage_is_found_at_each_step_that_shows_it_and_at_no_other(plan):
  shown = {
    (stage_plan.folder_name, step, at): (row['source'], row['epoch'], row['text'])
    for stage_plan in plan.stages()
    for step in range(1, stage_plan.steps + 1)
    for at, row in enumerate(trace_step(plan, stage_plan, step))
  }
  text = next(row[2] for row in shown.values() if row[0] == 'code')[3:19]
  found = {
    (seen['stage'], seen['step'], seen['row']): (place['source'], seen['epoch'])
    for place in trace_text(plan, plan.stages(), text)
    for seen in place['seen']
  }
  whole = {key: row[:2] for key, row in shown.items() if text in row[2]}
  assert whole and whole.items() <= found.items()
  # What is found beside them was cut between two rows.
  for key in found.keys() - whole.keys():
    assert any(text.startswith(shown[key][2][-n:]) or text.endswith(shown[key][2][:n]) for n in range(1, len(text)))


def test_a_passage_that_no_step_read_is_said_to_be_there(plan):
  stage_plan = plan.stages()[0]
  source = plan.sources['text']
  rows = StageRows(plan.sources, stage_plan.draws, stage_plan.segments, stage_plan.seed)
  unread = next(r for r in range(1, len(source)) if not rows.rows_that_read(rows.names.index('text'), r)
                and source.row(r)['segment_ids'].max() == 1)
  text = plan.tokenizer.decode(source.row(unread)['targets'].tolist())
  [place] = trace_text(plan, [stage_plan], text)
  assert place['source'] == 'text' and place['seen'] == []


def test_a_step_that_is_not_there_is_refused(plan):
  with pytest.raises(UserError, match="stage 'balanced' has steps 1 to 8, not 9"):
    trace_step(plan, plan.stages()[0], 9)
