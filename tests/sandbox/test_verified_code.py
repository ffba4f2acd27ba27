"""The shared verified code is executed, and what passes is what is known to pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest

from codemix.sandbox.execute import Outcome, execute, execute_all
from codemix.sandbox.languages import missing_tool
from tests.sandbox.verified_code import FILES, Program, programs

pytestmark = pytest.mark.usefixtures('sandbox')

MBXP = 'mbxp/mb{}_release_v1.2.jsonl.gz'  # by mxeval's short names of the languages
MBXP_PYTHON = 'mbxp/mbpp_release_v1.jsonl.gz'
MATHQA = 'mathqa_python/mathqa-test-python_v1.jsonl.gz'
CRUXEVAL = 'cruxeval_text/cruxeval_text.jsonl.gz'
P3 = 'p3_puzzles/puzzles.json.gz'
P3_TEXT = 'p3_puzzles/puzzles_text.jsonl.gz'

# file -> how many of its first programs are run, and which of them fail, which they do outside the
# sandbox too: solutions that are cut off, or use names that they do not define.
SAMPLES = {
  MBXP_PYTHON: (20, set()),
  MATHQA: (10, set()),
  CRUXEVAL: (20, set()),
  P3: (20, set()),
  P3_TEXT: (10, set()),
  MBXP.format('jsp'): (10, {'MBJSP/2'}),
  MBXP.format('tsp'): (5, {'MBTSP/2', 'MBTSP/5'}),
  MBXP.format('php'): (14, {'MBPHP/14'}),  # it calls exit() before its tests, and so exits with 0
  MBXP.format('rbp'): (10, set()),
  MBXP.format('jp'): (2, set()),
  MBXP.format('cpp'): (2, set()),
}
# All programs of a file that fail, by their ids.
FAILURES = {
  # 64, 966: indentation; 160: the test; 367, 601, 927: a name that nothing defines; 341, 642: the
  # order of a set; 596: the size of an object in an older Python; 607, 631: arguments not used.
  MBXP_PYTHON: {f'MBPP/{n}' for n in (64, 160, 341, 367, 596, 601, 607, 631, 642, 927, 966)},
  CRUXEVAL: set(),
  P3: {'FivePowers:0', 'BoxVolume:1'},  # numbers of more digits than Python converts since 3.11
  P3_TEXT: set(),
}
# file -> (programs, how many passed) with Node 20, TypeScript 5, PHP 8.2, Ruby 3.1, Java 17, g++ 12.
COUNTS = {
  MBXP.format('jsp'): (938, 797),
  MBXP.format('tsp'): (967, 372),
  MBXP.format('php'): (950, 812),
  MBXP.format('rbp'): (784, 778),
  MBXP.format('jp'): (874, 857),
  MBXP.format('cpp'): (773, 772),
}
OTHER_RELEASES = 5  # programs whose verdict may differ with another release of a tool


def run(chosen: Iterable[Program]) -> dict[Program, Outcome]:
  chosen = list(chosen)
  missing = missing_tool(chosen[0].language)
  if missing:
    pytest.skip(missing)
  if chosen[0].language == 'javascript' and execute("require('lodash')", 'javascript').status != 'passed':
    pytest.skip('the tests of this file need lodash (npm install --global lodash)')
  outcomes = execute_all((program.text, program.language) for program in chosen)
  return dict(zip(chosen, outcomes, strict=True))


def not_passed(outcomes: dict[Program, Outcome]) -> set[str]:
  return {program.id for program, outcome in outcomes.items() if outcome.status != 'passed'}


@pytest.mark.parametrize('file', SAMPLES)
def test_a_sample_of_each_file_passes_but_for_its_faulty_solutions(file, shared_data: Path):
  count, faulty = SAMPLES[file]
  assert not_passed(run(itertools.islice(programs(shared_data, file), count))) == faulty


@pytest.mark.slow
@pytest.mark.parametrize('file', FAILURES)
def test_every_program_in_python_passes_but_for_those_known_to_fail(file, shared_data: Path):
  assert not_passed(run(programs(shared_data, file))) == FAILURES[file]


@pytest.mark.slow
def test_mathqa_passes_but_for_functions_that_scipy_has_no_more(shared_data: Path):
  outcomes = run(programs(shared_data, MATHQA))
  gone = {program.id for program in outcomes if 'scipy.gcd' in program.text or 'scipy.lcm' in program.text}
  assert len(outcomes) == 1883
  assert not_passed(outcomes) <= gone


@pytest.mark.slow
@pytest.mark.parametrize('file', COUNTS)
def test_as_many_programs_pass_as_did(file, shared_data: Path):
  total, passed = COUNTS[file]
  outcomes = run(programs(shared_data, file))
  assert len(outcomes) == total
  assert abs(len(outcomes) - len(not_passed(outcomes)) - passed) <= OTHER_RELEASES


@pytest.mark.parametrize('file', [MBXP.format('csp'), MBXP.format('kp')])
def test_languages_without_a_toolchain_are_said_to_be_so(file, shared_data: Path):
  program = next(programs(shared_data, file))
  assert execute(program.text, program.language).stderr == f'no toolchain for {program.language}'


def test_every_file_of_the_folder_is_covered(shared_data: Path):
  folder = shared_data / 'corpora' / 'verified_code'
  assert {str(path.relative_to(folder)) for path in folder.rglob('*.json*.gz')} == set(FILES)
