"""Whatever stands in a file, reading it ends in an error for people or in what was written: no traceback, no hang, no flood of memory.

`corpus.json` keeps the mutations that found a fault, each with what happened at that time. To see what a mutation does:

    python -m tests.fuzz.show 'store manifest' '["set", ["dtype"], "\\"|O\\""]'
"""

from __future__ import annotations

import collections
import json
import random
from pathlib import Path

import pytest

from tests.fuzz import runs, stores, texts
from tests.fuzz.harness import CHANGED, EQUAL, REFUSED, Input, fingerprint, outcome
from tests.fuzz.mutations import Mutation, apply, draw

MODULES = {'stores': stores, 'runs': runs, 'texts': texts}
LEAST = 2000  # mutated inputs that CI reads
DRAWN = 45  # of each input in CI
CORPUS = Path(__file__).with_name('corpus.json')


@pytest.fixture(scope='session', params=MODULES)
def inputs(request, tmp_path_factory) -> dict[str, Input]:
  return made(request.param, tmp_path_factory)


_MADE: dict[str, dict[str, Input]] = {}


def made(module: str, tmp_path_factory) -> dict[str, Input]:
  """The inputs of a module by name, made once in a process."""
  if module not in _MADE:
    given = MODULES[module].inputs(tmp_path_factory.mktemp(module))
    _MADE[module] = {one.name: one for one in given}
    assert len(_MADE[module]) == len(given), 'two inputs have one name'
  return _MADE[module]


def count_of(given: Input, drawn: int) -> int:
  return max(round(drawn * given.share), 1)


def mutations(given: Input, drawn: int, seed: int) -> list[Mutation]:
  content, rng = given.path.read_bytes(), random.Random(f'{given.name} {seed}')
  return [draw(given.form, content, rng) for _ in range(count_of(given, drawn))]


def read_mutated(inputs: dict[str, Input], drawn: int, seed: int) -> dict[str, collections.Counter]:
  """Outcomes by input. Fails with the recipes of those that are not allowed."""
  outcomes, faults = {}, []
  for name, given in inputs.items():
    expected, counts = fingerprint(given.read()), collections.Counter()
    assert expected == fingerprint(given.read()), f'{name} does not give the same twice'
    for mutation in mutations(given, drawn, seed):
      found = outcome(given, mutation, expected)
      counts[found] += 1
      if found not in (REFUSED, EQUAL, CHANGED):
        faults.append([name, mutation, found])
    outcomes[name] = counts
  assert not faults, f'{len(faults)} faults; keep their recipes in {CORPUS.name}:\n' + '\n'.join(map(json.dumps, faults))
  return outcomes


def require_detection(inputs: dict[str, Input], outcomes: dict[str, collections.Counter]) -> None:
  """That the mutations reached what they were made for: harm to a file with a digest is found, but for white space."""
  for name, counts in outcomes.items():
    if inputs[name].sealed:
      assert not counts[CHANGED] and counts[REFUSED] > 0.7 * counts.total(), (name, counts)
  total = sum(outcomes.values(), collections.Counter())
  assert total[REFUSED] > 0.3 * total.total(), total


def test_no_mutated_file_ends_in_a_traceback_a_hang_or_other_data(inputs):
  require_detection(inputs, read_mutated(inputs, DRAWN, seed=0))


def test_ci_reads_at_least_two_thousand_mutated_files(tmp_path_factory):
  every = [given for module in MODULES for given in made(module, tmp_path_factory).values()]
  assert sum(count_of(given, DRAWN) for given in every) >= LEAST


def test_what_once_found_a_fault_finds_none_now(inputs):
  recipes = json.loads(CORPUS.read_text())
  names = {name for module in _MADE.values() for name in module}
  assert set(MODULES) != set(_MADE) or {recipe['input'] for recipe in recipes} <= names, 'the corpus names an input that there is not'
  whole = {name: fingerprint(given.read()) for name, given in inputs.items()}
  for recipe in recipes:
    if given := inputs.get(recipe['input']):
      found = outcome(given, recipe['mutation'], whole[given.name])
      assert found in (REFUSED, EQUAL, CHANGED), (recipe, found)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(1, 6))
def test_many_more_mutated_files(inputs, seed):
  require_detection(inputs, read_mutated(inputs, 10 * DRAWN, seed))


def test_a_broken_line_of_a_corpus_costs_itself_alone(tmp_path_factory):
  given = made('stores', tmp_path_factory)['corpus lines']
  whole, content, rng = given.read(), given.path.read_bytes(), random.Random(0)
  assert len(whole) == len(content.splitlines())
  for mutation in (draw('lines', content, rng) for _ in range(200)):
    if mutation[0] != 'in line':
      continue
    given.path.write_bytes(apply(mutation, content))
    try:
      found = given.read()
    finally:
      given.path.write_bytes(content)
    number = mutation[1]
    assert found[:number] == whole[:number] and found[len(found) - len(whole) + number + 1 :] == whole[number + 1 :], mutation
