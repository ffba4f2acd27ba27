"""What is planted in a corpus is found exactly where it was consumed, and nowhere else."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.contamination import pieces, scan
from codemix.contamination.consumed import StageDraws, columns, consumed_rows
from codemix.contamination.decoding import make_decoder
from codemix.contamination.index import build_index
from codemix.contamination.readings import CodeWindows, WordWindows
from codemix.contamination.settings import Contamination
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.order.permutation import permute, round_keys
from codemix.workers import Beam, InProcess, Processes
from tests.contamination import corpus

QUESTION = 'Which of the seven quiet rivers north of Aldermoor carries the blue barges of the salt traders in March?'
PROGRAM = '''
def running_totals(numbers, limit):
  totals = []
  current = 0
  for number in numbers:
    if current + number > limit:
      break
    current += number
    totals.append(current)
  return totals, len(totals) == len(numbers)
'''
RENAMED = '''
def f(xs,   cap):
    out = []
    acc = 0
    for x in xs:
        if acc + x > cap:
            break
        acc += x
        out.append(acc)
    return out, len(out) == len(xs)
'''


def filler(words: int, seed: int) -> str:
  rng = random.Random(seed)
  return ' '.join(''.join(rng.choices('abcdefghij', k=5)) for _ in range(words))


def around(text: str) -> list[str]:
  return [filler(40, 1), f'{filler(30, 2)}\n{text}\n{filler(30, 3)}', filler(40, 4)]


@pytest.mark.parametrize(
  'planted',
  [
    QUESTION,
    QUESTION.upper(),
    '  '.join(QUESTION.split()),
    QUESTION.replace(' ', '\n\t'),
    QUESTION.replace('Aldermoor', '\u201cAldermoor\u201d,').replace('March?', 'March'),
    QUESTION.replace('e', 'e\u0301'),
  ],
  ids=['exact', 'upper case', 'spaced', 'other spacing', 'other punctuation', 'accents'],
)
def test_a_planted_question_is_found_whole(planted, tmp_path):
  read = corpus.source(tmp_path, 'text', around(planted))
  found = corpus.shares(tmp_path, corpus.items('quiz', ['an item of more than eight words that nobody has planted', QUESTION]), [read], [corpus.whole([read])])
  assert found == {'1': {'pretrain-0': 1.0}}


@pytest.mark.parametrize('planted', [PROGRAM, RENAMED, PROGRAM.upper(), ' '.join(re.findall(r'\w+|[^\w\s]', RENAMED))], ids=['exact', 'renamed', 'upper case', 'spaced'])
def test_planted_code_is_found_whole_whatever_its_names_and_spacing(planted, tmp_path):
  read = corpus.source(tmp_path, 'code', around(planted))
  found = corpus.shares(tmp_path, corpus.items('tasks', [PROGRAM], code=True), [read], [corpus.whole([read])])
  assert found == {'0': {'pretrain-0': 1.0}}


def test_names_that_are_exchanged_inconsistently_are_another_program(tmp_path):
  read = corpus.source(tmp_path, 'code', around(RENAMED.replace('out.append(acc)', 'out.append(x)').replace('acc += x', 'x += acc')))
  found = corpus.shares(tmp_path, corpus.items('tasks', [PROGRAM], code=True), [read], [corpus.whole([read])])
  assert found.get('0', {}).get('pretrain-0', 0) < 0.5


def test_renamed_code_is_not_found_where_the_set_is_no_code(tmp_path):
  read = corpus.source(tmp_path, 'code', around(RENAMED))
  assert not corpus.shares(tmp_path, corpus.items('tasks', [PROGRAM]), [read], [corpus.whole([read])])


def test_one_other_word_leaves_the_windows_without_it(tmp_path):
  read = corpus.source(tmp_path, 'text', around(QUESTION.replace('Which', 'What')))
  windows = len(QUESTION.split()) - 13 + 1
  found = corpus.shares(tmp_path, corpus.items('quiz', [QUESTION]), [read], [corpus.whole([read])])
  assert found['0']['pretrain-0'] == pytest.approx((windows - 1) / windows, abs=1e-3)


def test_a_short_item_is_found_whole_or_not_at_all_and_a_shorter_one_is_too_short(tmp_path):
  nine, seven = 'the nine short words of this question are here', 'a question of seven words is short'
  sets = corpus.items('quiz', [nine, nine.replace('nine', 'ten'), seven])
  read = corpus.source(tmp_path, 'text', around(f'{nine} {seven}'))
  result = corpus.checked(tmp_path, [sets], [read], [corpus.whole([read])])
  assert [item['id'] for item in result['items']] == ['0']
  assert result['sets'][0]['too_short'] == ['2']


def test_no_window_goes_over_the_end_of_a_document(tmp_path):
  words = QUESTION.split()
  read = corpus.source(tmp_path, 'text', [filler(9, 1), ' '.join(words[:10]), ' '.join(words[10:]), filler(30, 2)])
  assert not corpus.shares(tmp_path, corpus.items('quiz', [QUESTION]), [read], [corpus.whole([read])])


def over_two_rows(tmp_path):
  """A source in which a question of eight words lies over the end of row 3, with 64 tokens a row."""
  question = 'zebra yonder xylem willow velvet umbra tulip silver'
  text = filler(100, 1)
  at = 4 * 64 - len(question) // 2
  text = f'{text[: at - 1]} {question} {text[at:]}'
  return corpus.source(tmp_path, 'text', [text], length=64), question


def test_a_question_over_two_rows_counts_where_both_were_drawn(tmp_path):
  read, question = over_two_rows(tmp_path)
  first, second = corpus.one_row(read, 3, 'first-0'), corpus.one_row(read, 4, 'second-0', ['first-0'])
  alone = corpus.one_row(read, 4, 'alone-0')
  result = corpus.checked(tmp_path, [corpus.items('quiz', [question])], [read], [first, second, alone, corpus.whole([read], 'all-0')])
  stages = result['items'][0]['stages']
  none = {'of the stage': {}, 'up to its end': {}}
  both = {'(all sources)': 1.0, 'text': 1.0}
  assert stages['first-0'] == stages['alone-0'] == none
  # Neither stage drew it by itself; the second one's model has seen it all the same.
  assert stages['second-0'] == {'of the stage': {}, 'up to its end': both}
  assert stages['all-0'] == {'of the stage': both, 'up to its end': both}


def test_rows_that_a_stage_did_not_draw_do_not_count(tmp_path):
  read, question = over_two_rows(tmp_path)
  for row in (0, 3, 4, len(read) - 1):
    assert not corpus.shares(tmp_path, corpus.items('quiz', [question]), [read], [corpus.one_row(read, row, 'one-0')])


def test_the_cropped_tail_is_not_consumed(tmp_path):
  text = filler(30, 1)
  cut = len(text) // 64 * 64
  question = 'zebra yonder xylem willow velvet umbra tulip silver'
  read = corpus.source(tmp_path, 'text', [f'{text[:cut]} {question}'], length=64)
  assert len(read) * 64 < read.store.tokens
  assert not corpus.shares(tmp_path, corpus.items('quiz', [question]), [read], [corpus.whole([read])])


def test_an_item_is_put_together_from_two_sources_and_told_by_source(tmp_path):
  half = len(QUESTION.split()) - 2
  one = corpus.source(tmp_path, 'one', around(' '.join(QUESTION.split()[:half])))
  two = corpus.source(tmp_path, 'two', around(' '.join(QUESTION.split()[2:])))
  result = corpus.checked(tmp_path, [corpus.items('quiz', [QUESTION])], [one, two], [corpus.whole([one, two])])
  shares = result['items'][0]['stages']['pretrain-0']['of the stage']
  assert shares['(all sources)'] == 1.0
  assert 0 < shares['one'] < 1 and 0 < shares['two'] < 1
  counts = {c['source']: c['contaminated'] for c in result['sets'][0]['counts'] if c['rows'] == 'of the stage'}
  assert counts['(all sources)'] == 1


def test_an_example_names_the_document(tmp_path):
  read = corpus.source(tmp_path, 'text', around(QUESTION))
  result = corpus.checked(tmp_path, [corpus.items('quiz', [QUESTION])], [read], [corpus.whole([read])])
  assert result['items'][0]['example']['document'] == 1


def test_context_alone_does_not_contaminate(tmp_path):
  read = corpus.source(tmp_path, 'text', around(QUESTION))
  result = corpus.checked(tmp_path, [corpus.items('quiz', [QUESTION], part='context')], [read], [corpus.whole([read])])
  assert result['items'][0]['parts'] == {'context': 1.0}
  assert all(count['touched'] == 0 for count in result['sets'][0]['counts'])


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_the_rows_of_a_stage_are_those_of_its_draws(seed, count):
  rng = random.Random(seed)
  size = rng.randint(1, 40)
  stages = [
    StageDraws(f's{i}', tuple(f's{j}' for j in range(i + 1)), {'text': (rng.randint(0, 90), rng.randint(0, 70))}, seed)
    for i in range(count)
  ]

  class Sized(PreparedSource):
    def __len__(self):
      return size

  def drawn(stage):
    cursor, rows = stage.draws['text']
    return {
      int(permute(np.asarray([d % size]), size, round_keys(seed, 'text', d // size))[0]) for d in range(cursor, cursor + rows)
    }

  sets = {stage.name: drawn(stage) for stage in stages}
  bits = np.unpackbits(consumed_rows(Sized('text', store=None, length=1, bos_id=1), stages), axis=1, bitorder='little')
  for c, (_, counted) in enumerate(columns(stages)):
    assert set(np.flatnonzero(bits[:, c])) == set().union(*(sets[name] for name in counted))


def expected_windows(read, stages, n, minimum, wanted):
  """{window: (columns, first token)} by plain Python: words of each stretch of consumed rows of each document."""
  bits = np.unpackbits(consumed_rows(read, stages), axis=1, bitorder='little')[:, : len(columns(stages))].astype(bool)
  found = {}
  tokens = read.store.read(0, len(read) * read.length)
  start = 0
  for end in read.store.document_ends.tolist():
    stretch = []
    for place in range(start, min(end, len(tokens)) + 1):
      if place < min(end, len(tokens)) and bits[place // read.length].any():
        stretch.append(place)
        continue
      text = bytes(max(int(tokens[p]) - 3, 0) for p in stretch).decode('latin-1')
      words = list(re.finditer('[a-z]+', text))
      for length in range(minimum, n + 1):
        for i in range(len(words) - length + 1):
          window = tuple(word[0] for word in words[i : i + length])
          if window in wanted:
            first, last = stretch[words[i].start()], stretch[words[i + length - 1].end() - 1]
            here = bits[first // read.length : last // read.length + 1].all(axis=0)
            before = found.get(window, (np.zeros_like(here), first))
            found[window] = (before[0] | here, min(before[1], first))
      stretch = []
    start = end
  return found


@pytest.mark.parametrize('case', range(25))
def test_a_pass_finds_what_plain_python_finds(case, tmp_path, monkeypatch):
  rng = random.Random(case)
  monkeypatch.setattr(scan, 'BLOCK_TOKENS', rng.choice([16, 40, 300]))
  for module in (scan, pieces):
    monkeypatch.setattr(module, 'AHEAD_TOKENS', 60)
    monkeypatch.setattr(module, 'BEHIND_TOKENS', rng.choice([1, 7, 30]))
  # The end of a word may be a word too: what begins inside one must not count.
  write = lambda words: rng.choice([' ', '  ', '\n']).join(rng.choices(['ab', 'b', 'bab', 'c'], k=words))
  texts = [write(rng.randint(1, 30)) for _ in range(rng.randint(5, 30))]
  read = corpus.source(tmp_path, 'text', texts, length=rng.choice([8, 16, 50]))
  stages = [
    StageDraws(f's{i}', tuple(f's{j}' for j in range(i + 1)), {'text': (rng.randint(0, len(read)), rng.randint(1, max(len(read) // 2, 1)))}, case)
    for i in range(rng.randint(1, 5))
  ]
  passages = [write(rng.randint(2, 5)) for _ in range(20)]
  index, listed = build_index(WordWindows(4, 3), passages)
  hits = scan.search({'text': read}, stages, [index], make_decoder(corpus.TOKENIZER), tmp_path, InProcess(), piece_tokens=rng.choice([32, 100, 10**6]))['text']['words']
  windows = {}
  for passage, first, stop in zip(passages, listed.first, listed.first[1:], strict=False):
    words = passage.split()
    length = min(len(words), 4)
    windows |= {int(listed.grams[first + i]): tuple(words[i : i + length]) for i in range(stop - first)}
  found = {
    windows[gram]: (np.unpackbits(bits, bitorder='little')[: len(columns(stages))].astype(bool).tolist(), place)
    for gram, bits, place in zip(hits.grams.tolist(), hits.bits, hits.places.tolist(), strict=True)
  }
  expected = expected_windows(read, stages, 4, 3, set(windows.values()))
  assert found == {window: (here.tolist(), first) for window, (here, first) in expected.items()}


@pytest.mark.parametrize('workers', [Processes(2), Beam()], ids=['processes', 'beam'])
def test_every_kind_of_worker_gives_the_same_result(workers, tmp_path):
  if isinstance(workers, Beam):
    pytest.importorskip('apache_beam')
  read = corpus.source(tmp_path, 'text', around(QUESTION) * 8)
  sets = corpus.items('quiz', [QUESTION])
  index, _ = build_index(WordWindows(), [QUESTION])
  here, there = (
    scan.search({'text': read}, [corpus.whole([read])], [index], make_decoder(corpus.TOKENIZER), tmp_path, where, piece_tokens=512)['text']['words']
    for where in (InProcess(), workers)
  )
  assert len(here.grams) == len(sets.items[0].passages[0][1].split()) - 12
  for field in ('grams', 'bits', 'places'):
    np.testing.assert_array_equal(getattr(here, field), getattr(there, field))


def test_settings_change_what_is_found(tmp_path):
  read = corpus.source(tmp_path, 'text', around(' '.join(QUESTION.split()[:6])))
  sets = corpus.items('quiz', [QUESTION])
  assert not corpus.shares(tmp_path, sets, [read], [corpus.whole([read])])
  five = Contamination(words=WordWindows(5, 5), code=CodeWindows())
  assert corpus.shares(tmp_path, sets, [read], [corpus.whole([read])], settings=five)['0']['pretrain-0'] > 0
