"""The chain of registered claims: what was said when, and that nobody changes it afterwards."""

from __future__ import annotations

import concurrent.futures
import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import FolderUnavailable, UserError
from codemix.identity import digest
from codemix.storage import locked, write_json
from codemix.studies import claim_register
from codemix.studies.claim_register import (
  FILE,
  LOCK,
  begun_stages,
  check_claims,
  history,
  read_chain,
  register,
)
from tests.claims import claim_entry

FIRST, SECOND, THIRD = (claim_entry(sentence, margin) for sentence, margin in (('one', 0.0), ('two', 0.1), ('three', 0.2)))


def begin(output: Path, *stages: str) -> None:
  """Lets stages have steps."""
  for name in stages:
    folder = output / 'stages' / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / 'stage.json', {'hash': digest(name)})
    (folder / 'metrics.jsonl').write_text('{}\n')


def of(output: Path, study: str = 's') -> dict[str, object]:
  return {claim.name: claim for claim in history(read_chain(output), study)}


def test_claims_that_are_there_before_a_stage_begins_are_registered_before_the_run(tmp_path):
  (tmp_path / 'stages' / 'code-0').mkdir(parents=True)
  (tmp_path / 'stages' / 'code-0' / 'metrics.jsonl').touch()  # opened, without a step
  register(tmp_path, 's', {'a': FIRST})
  begin(tmp_path, 'code-0')
  assert not of(tmp_path)['a'].seen_before and of(tmp_path)['a'].counts


def test_a_claim_that_is_added_after_one_of_its_stages_began_is_exploratory(tmp_path):
  register(tmp_path, 's', {'a': FIRST})
  begin(tmp_path, 'code-1', 'another-0')
  register(tmp_path, 's', {'a': FIRST, 'b': SECOND})
  found = of(tmp_path)
  assert not found['a'].seen_before
  assert found['b'].seen_before == {'code-1'} and not found['b'].counts
  assert read_chain(tmp_path)[-1]['begun'] == {'another-0': digest('another-0'), 'code-1': digest('code-1')}


def test_a_changed_claim_is_a_new_one_and_the_old_one_is_withdrawn(tmp_path):
  register(tmp_path, 's', {'a': FIRST})
  begin(tmp_path, 'code-0')
  register(tmp_path, 's', {'a': SECOND})
  new, old = history(read_chain(tmp_path), 's')
  assert (new.hash, bool(new.seen_before), new.withdrawn) == (SECOND['hash'], True, None)
  assert old.hash == FIRST['hash'] and old.withdrawn and old.counts, 'what was withdrawn after the run began still counts'


def test_a_claim_that_is_withdrawn_before_the_run_is_as_if_it_had_not_been(tmp_path):
  register(tmp_path, 's', {'a': FIRST, 'b': SECOND})
  register(tmp_path, 's', {'b': SECOND})
  begin(tmp_path, 'code-0')
  assert of(tmp_path)['a'].withdrawn and not of(tmp_path)['a'].counts
  assert of(tmp_path)['b'].counts


def test_a_claim_that_is_taken_up_again_or_renamed_keeps_its_date(tmp_path):
  register(tmp_path, 's', {'a': FIRST})
  first = of(tmp_path)['a'].registered
  begin(tmp_path, 'code-0')
  register(tmp_path, 's', {})
  register(tmp_path, 's', {'renamed': FIRST})
  found = of(tmp_path)
  assert list(found) == ['renamed'] and found['renamed'].registered == first and not found['renamed'].seen_before


def test_more_seeds_change_no_claim_and_seeds_that_are_left_out_are_told(tmp_path):
  register(tmp_path, 's', {'a': FIRST})
  begin(tmp_path, 'code-0', 'text-0')
  register(tmp_path, 's', {'a': claim_entry('one', seeds=(0, 1, 2))})
  assert of(tmp_path)['a'].counts and set(of(tmp_path)['a'].own) == {'0', '1', '2'} and not of(tmp_path)['a'].left_out
  register(tmp_path, 's', {'a': claim_entry('one', seeds=(0, 2))})
  assert of(tmp_path)['a'].left_out == ('1',)


def test_the_same_claims_are_registered_once_and_studies_do_not_withdraw_each_others(tmp_path):
  assert register(tmp_path, 's', {}) is None and not (tmp_path / FILE).exists()
  known = register(tmp_path, 's', {'a': FIRST})
  whole = (tmp_path / FILE).read_bytes()
  assert register(tmp_path, 's', {'a': FIRST}) == known and (tmp_path / FILE).read_bytes() == whole
  register(tmp_path, 'other', {'b': SECOND})
  assert register(tmp_path, 's', {'a': FIRST}) == known
  assert list(of(tmp_path)) == ['a'] and list(of(tmp_path, 'other')) == ['b']
  assert len(read_chain(tmp_path)) == 2


def test_a_damaged_stage_of_another_study_stops_no_registration(tmp_path):
  begin(tmp_path, 'other-0')
  (tmp_path / 'stages' / 'other-0' / 'stage.json').write_text('x')
  assert begun_stages(tmp_path) == {'other-0': ''}
  register(tmp_path, 's', {'a': FIRST})


# Tampering.


def three(output: Path) -> dict:
  """Registers three times; returns the file."""
  for claims in ({'a': FIRST}, {'a': FIRST, 'b': SECOND}, {'b': SECOND, 'c': THIRD}):
    known = register(output, 's', claims)
  write_json(output / 'study.json', {'name': 's', 'claims': known})
  return json.loads((output / FILE).read_text())


def test_a_changed_claim_is_named(tmp_path):
  value = three(tmp_path)
  value['registrations'][1]['claims']['b']['claim']['arguments']['margin'] = 0.3
  write_json(tmp_path / FILE, value)
  for read in (read_chain, check_claims, lambda folder: register(folder, 's', {'a': FIRST})):
    with pytest.raises(UserError, match="the claim 'b' was changed after it was registered on 20"):
      read(tmp_path)


def test_a_changed_claim_whose_hash_fits_is_found_by_the_registration(tmp_path):
  value = three(tmp_path)
  claim = value['registrations'][0]['claims']['a']
  claim['claim']['arguments']['expected'] = 'higher'
  claim['hash'] = digest(claim['claim'])
  write_json(tmp_path / FILE, value)
  with pytest.raises(UserError, match="registration 1, of 'a' on 20.*, was changed"):
    check_claims(tmp_path)


def test_a_date_an_order_or_a_missing_registration_is_found(tmp_path):
  whole = three(tmp_path)

  def dated(entries):
    entries[0]['registered'] = '2020-01-01T00:00:00+00:00'

  def unseen(entries):
    entries[2]['begun'] = {'code-0': 'x'}

  def resealed(entries):
    dated(entries)
    entries[0]['digest'] = digest({key: of for key, of in entries[0].items() if key != 'digest'})

  for change, says in (
    (dated, 'registration 1, .* was changed'), (unseen, 'registration 3, .* was changed'), (resealed, 'registration 2, .* does not follow'),
    (lambda entries: entries.reverse(), 'registration 1, .* does not follow'), (lambda entries: entries.pop(0), 'registration 1, .* does not follow'),
    (lambda entries: entries.pop(1), 'registration 2, .* does not follow'), (lambda entries: entries.pop(), 'lacks the registration .* with which'),
    (lambda entries: entries.clear(), 'it has none of this study'),
  ):  # fmt: skip
    value = copy.deepcopy(whole)
    change(value['registrations'])
    write_json(tmp_path / FILE, value)
    with pytest.raises(UserError, match=says):
      check_claims(tmp_path)
  (tmp_path / FILE).unlink()
  with pytest.raises(UserError, match='lacks the registration'):
    check_claims(tmp_path)


def test_a_run_that_was_killed_between_the_two_files_is_no_tampering(tmp_path):
  three(tmp_path)
  register(tmp_path, 's', {'c': THIRD})
  assert len(check_claims(tmp_path)) == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sets(st.sampled_from(['a', 'b', 'c'])), st.sampled_from(['code-0', 'text-1'])), max_size=7))
def test_whatever_happens_the_first_registration_decides(tmp_path_factory, events):
  """Events: sets of claims that the study begins with, and stages that begin."""
  output = tmp_path_factory.mktemp('run')
  claims, begun, expected, last = dict(zip('abc', (FIRST, SECOND, THIRD), strict=True)), set(), {}, set()
  for event in events:
    if isinstance(event, str):
      begin(output, event)
      begun.add(event)
    else:
      register(output, 's', {name: claims[name] for name in sorted(event)})
      expected |= {name: set(begun) for name in event if name not in expected}
      last = event
  found = of(output)
  assert found.keys() == expected.keys()
  assert all(found[name].seen_before == seen for name, seen in expected.items())
  assert {name for name, claim in found.items() if claim.withdrawn is None} == last


def test_units_that_begin_at_the_same_moment_register_the_claims_once(tmp_path):
  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    digests = set(threads.map(lambda _: register(tmp_path, 's', {'a': FIRST}), range(8)))
  assert digests == {read_chain(tmp_path)[-1]['digest']} and len(read_chain(tmp_path)) == 1


def test_whoever_registers_waits_for_another_that_does(tmp_path, monkeypatch):
  monkeypatch.setattr(claim_register, '_WAIT_S', 0.5)
  with locked(tmp_path / LOCK, 'registering claims'), pytest.raises(FolderUnavailable):
    register(tmp_path, 's', {'a': FIRST})
  assert register(tmp_path, 's', {'a': FIRST}) == read_chain(tmp_path)[-1]['digest']
