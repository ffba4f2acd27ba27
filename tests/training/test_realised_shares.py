"""What the train step was fed, counted by its token ids alone: neither ledger nor schedule is asked."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import codemix
from codemix.data.settings import Data
from codemix.storage import read_json
from tests import tiny_study
from tests.in_process import record_batches, use_one_device

LENGTH, EOS = tiny_study.LENGTH, 2
IDS = {'prose': range(3, 60), 'programs': range(60, 140), 'markup': range(140, 259)}
DOCUMENT_TOKENS = {'prose': 10, 'programs': 200, 'markup': 40}  # a 20-fold difference
ROWS = {'prose': 70, 'programs': 50, 'markup': 20}  # of one epoch

# (mixture, steps, rows of each source by hand: largest remainders, ties to the first named)
MIXED = {'prose': 0.5, 'code': (0.5, {'programs': 0.8, 'markup': 0.2})}
THIRDS = {'prose': '1/3', 'code': ('2/3', {'programs': '1/2', 'markup': '1/2'})}
PLAN = (
  (MIXED, 15, {'prose': 60, 'programs': 48, 'markup': 12}),
  (THIRDS, 13, {'prose': 35, 'programs': 35, 'markup': 34}),
  ({'markup': 1}, 10, {'markup': 80}),
)


@dataclasses.dataclass(frozen=True)
class Ran:
  """A finished run: its source streams as they were made, the rows that it was fed, its folders."""

  streams: dict[str, np.ndarray]
  starts: dict[str, np.ndarray]  # where documents begin in a stream
  fed: list[list[tuple[str, bytes]]]  # of each stage, in order: (source told by its ids, targets)
  folders: list[Path]

  def cut(self, source: str) -> list[bytes]:
    """The rows of one epoch, cut from the stream here."""
    whole = len(self.streams[source]) // LENGTH * LENGTH
    return [row.tobytes() for row in self.streams[source][:whole].reshape(-1, LENGTH)]

  def read(self, source: str, *stages: int) -> list[bytes]:
    """What was read of a source in some stages, in order."""
    return [row for stage in stages for name, row in self.fed[stage] if name == source]


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> Ran:
  with pytest.MonkeyPatch.context() as patch:
    root = tmp_path_factory.mktemp('shares')
    data = Data(directory=str(root / 'data'), tokenizer='bytes')
    streams, starts = {}, {}
    for source in IDS:
      streams[source], starts[source] = write_source(data, source)
    stages = [
      tiny_study.stage(f'stage{i}', mixture, steps) for i, (mixture, steps, _) in enumerate(PLAN)
    ]
    stages[2] = dataclasses.replace(stages[2], rewind=('markup',))
    recipe = tiny_study.recipe(*stages, max_epochs=8)
    use_one_device(patch)
    batches = record_batches(patch)
    study = codemix.Study(name='shares', recipes={'only': recipe})
    output = codemix.run_study(study, data, tiny_study.runtime(root / 'run'))
    folders = [next(output.glob(f'stages/stage{i}-*')) for i in range(len(PLAN))]
    return Ran(streams, starts, [told_by_ids(stage) for stage in batches], folders)


def write_source(data: Data, source: str) -> tuple[np.ndarray, np.ndarray]:
  """Random documents of the source's own ids, a little more than its rows hold."""
  rng = np.random.default_rng(len(source))
  mean, documents, tokens = DOCUMENT_TOKENS[source], [], 0
  wanted = ROWS[source] * LENGTH + 5
  while tokens < wanted:
    size = min(int(rng.integers(mean // 2, 2 * mean)), wanted - tokens)
    documents.append(np.append(rng.choice(IDS[source], size - 1), EOS))
    tokens += size
  tiny_study.write_store(data, source, 'train', [(ids, len(ids)) for ids in documents])
  ends = np.cumsum([len(ids) for ids in documents])
  return np.concatenate(documents).astype(np.int32), np.append(0, ends[:-1])


def told_by_ids(batches: list[dict[str, np.ndarray]]) -> list[tuple[str, bytes]]:
  rows = []
  for batch in batches:
    assert (batch['weights'] == 1).all()  # so that a row is LENGTH loss tokens
    for targets in batch['targets']:
      ids = set(targets.tolist()) - {EOS}
      [source] = [source for source, own in IDS.items() if ids <= set(own)]
      rows.append((source, targets.tobytes()))
  return rows


@pytest.mark.parametrize('stage', range(len(PLAN)))
def test_realised_shares_of_loss_tokens_are_the_plan_to_the_row(ran, stage):
  assert collections.Counter(source for source, _ in ran.fed[stage]) == PLAN[stage][2]


@pytest.mark.parametrize('stage', range(len(PLAN)))
def test_at_every_row_each_source_is_within_one_row_of_its_share(ran, stage):
  order = np.asarray([source for source, _ in ran.fed[stage]])
  for source, rows in PLAN[stage][2].items():
    ahead = np.cumsum(order == source) - np.arange(1, len(order) + 1) * rows / len(order)
    assert np.abs(ahead).max() < 1


@pytest.mark.parametrize('source', IDS)
def test_an_epoch_reads_every_row_once_and_goes_on_over_the_border_of_stages(ran, source):
  rows = ran.cut(source)
  assert len(set(rows)) == len(rows) == ROWS[source]  # a row is known by its tokens
  read = ran.read(source, 0, 1)
  assert len(read) > len(rows) > len(ran.read(source, 0))  # an epoch ends inside the second stage
  for first in range(0, len(read), len(rows)):
    epoch = read[first : first + len(rows)]
    assert len(set(epoch)) == len(epoch)
    assert set(epoch) <= set(rows)
    assert len(epoch) < len(rows) or sorted(epoch) == sorted(rows)


def test_each_epoch_has_an_order_of_its_own(ran):
  read = ran.read('markup', 2)
  epochs = {tuple(read[first : first + 20]) for first in range(0, 80, 20)}
  assert len(epochs) == 4
  assert tuple(ran.cut('markup')) not in epochs


def test_a_rewound_source_is_read_again_from_its_first_row(ran):
  before = ran.read('markup', 0, 1)
  assert ran.read('markup', 2)[: len(before)] == before


@pytest.mark.parametrize('stage', range(len(PLAN)))
def test_the_ledger_says_what_was_fed(ran, stage):
  ledger = read_json(ran.folders[stage] / 'ledger.json')
  counted = {source: count_by_hand(ran, source, stage) for source in PLAN[stage][2]}
  for side in ('planned', 'realised'):
    told = {entry['source']: {key: entry[key] for key in counts} for entry in ledger[side] for counts in [counted[entry['source']]]}
    assert told == counted


def count_by_hand(ran: Ran, source: str, stage: int) -> dict[str, int]:
  read = ran.read(source, stage)
  place = {row: index for index, row in enumerate(ran.cut(source))}
  starts_in_row = np.bincount(ran.starts[source] // LENGTH, minlength=ROWS[source] + 1)
  return {
    'rows': len(read),
    'loss_tokens': len(read) * LENGTH,
    'documents': int(sum(starts_in_row[place[row]] for row in read)),
  }


def test_the_ledger_counts_repetition_over_the_whole_run_rewound_or_not(ran):
  everything = [ran.read('markup', *range(stage + 1)) for stage in range(3)]
  for stage, read in enumerate(everything):
    [told] = [e for e in read_json(ran.folders[stage] / 'ledger.json')['planned'] if e['source'] == 'markup']
    assert told['epochs_cumulative'] == pytest.approx(len(read) / ROWS['markup'])
    assert told['unique_tokens_cumulative'] == len(set(read)) * LENGTH
    assert told['unique_tokens'] == len(set(ran.read('markup', stage))) * LENGTH
    assert told['cropped_tokens'] == 5
    assert told['padded_tokens'] == 0
