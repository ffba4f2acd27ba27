"""Claims in the report: verdicts, what was registered when, and the same in every format."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import codemix
from codemix.cli import main
from codemix.errors import UserError
from codemix.identity import digest
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import difference
from codemix.report.claim_difference import of_bits, of_scores
from codemix.report.claims import Judged
from codemix.report.content import gather
from codemix.report.contrast import Contrast
from codemix.report.results import read_study
from codemix.report.scores import TaskScores
from codemix.report.write import write_report
from codemix.studies.claim_register import FILE, read_chain, register
from tests.report.fake_benchmarks import add_benchmarks
from tests.report.fake_study import edit, named, stage, write_fake_study
from tests.report.page import Page
from tests.report.test_seed_difference import measure_of

TEXT = [stage('text', {'text': 1.0}, 40)]
MIXED = [stage('mixed', {'text': 0.5, 'code': 0.5}, 40)]
HELPS = codemix.Claim('mixed', 'code', 'lower', sentence='Code helps code.')
HURTS = codemix.Claim('mixed', 'code', 'higher', sentence='Code hurts code.')
NAME = 'code in pre-training, in miniature'


def written(folder: Path, claims: Mapping[str, codemix.Claim], seeds: int = 3, **settings) -> Path:
  """A baseline of text and an arm with half of code, which is far better on code."""
  recipes = {f'{name}, seed {seed}': of for name, of in (('base', TEXT), ('mixed', MIXED)) for seed in range(seeds)}
  return write_fake_study(folder, recipes, seeds={name: int(name[-1]) for name in recipes}, claims=claims, **settings)


def judged(folder: Path) -> dict[str, Judged]:
  return {claim.name: claim for claim in gather(read_study(folder)).claims}


def add(folder: Path, **changes: Mapping | None) -> None:
  """Registers the claims of a finished study again, some of them with other arguments or left out."""
  before = read_chain(folder)[-1]['claims']
  claims = dict(before)
  for name, arguments in changes.items():
    claims.pop(name, None)
    entry = json.loads(json.dumps(before.get(name) or next(iter(before.values()))))
    if arguments is not None:
      entry['claim']['arguments'] |= arguments
      claims[name] = {**entry, 'hash': digest(entry['claim'])}
  register(folder, NAME, claims)


# Verdicts.


def test_claims_are_supported_refuted_or_unresolved_by_the_runs(tmp_path):
  effect = judged(written(tmp_path / 'one', {'helps': HELPS}))['helps'].difference.value
  assert effect < -0.3
  claims = {
    'helps': HELPS, 'hurts': HURTS, 'enough': codemix.Claim('mixed', 'code', 'lower', margin=-effect / 2), 'too much': codemix.Claim('mixed', 'code', 'lower', margin=-2 * effect),
    'turned': codemix.Claim('base', 'code', 'higher', against='mixed', margin=0.01), 'about': codemix.Claim('mixed', 'code', 'equal', margin=-2 * effect),
    'same': codemix.Claim('mixed', 'code', 'equal', margin=-effect / 4), 'exactly': codemix.Claim('mixed', 'code', 'lower', margin=-effect),
  }  # fmt: skip
  found = judged(written(tmp_path / 'all', claims))
  assert {name: claim.verdict for name, claim in found.items()} == {
    'helps': 'supported', 'hurts': 'refuted', 'enough': 'supported', 'too much': 'refuted', 'turned': 'supported', 'about': 'supported', 'same': 'refuted',
    'exactly': 'unresolved',
  }  # fmt: skip
  assert {claim.status for claim in found.values()} == {'before the run'} and {claim.corrected_for for claim in found.values()} == {8}
  assert found['turned'].difference.value == pytest.approx(-effect) and found['helps'].difference.noise == 'seeds and items'
  assert found['about'].tested.level == 0.9 and found['helps'].tested.level == 0.95


def test_one_seed_is_never_a_verdict(tmp_path):
  found = judged(written(tmp_path / 's', {'helps': HELPS, 'hurts': HURTS}, seeds=1))
  assert {claim.verdict for claim in found.values()} == {'unresolved'}
  assert found['helps'].notes[0].startswith('items only') and found['helps'].tested.high < 0


def test_what_has_no_results_is_not_measured_yet(tmp_path):
  found = judged(written(tmp_path / 's', {'helps': HELPS}, evaluated=False))
  assert found['helps'].verdict == 'not measured yet' and found['helps'].difference is None
  folder = written(tmp_path / 't', {'helps': HELPS})
  (named(folder, 'mixed') / 'evaluation' / 'held_out' / 'code.json').unlink()
  claim = judged(folder)['helps']
  assert claim.verdict == 'supported' and claim.notes == ['provisional: 2 of 3 seeds so far']


def test_claims_on_benchmarks_are_in_points_and_on_groups_of_their_mean(tmp_path):
  tasks = {'triviaqa': (150, 0), 'nq_open': (80, 0), 'piqa': (180, 2)}
  claims = {'one': codemix.Claim('mixed', 'triviaqa', 'lower'), 'group': codemix.Claim('mixed', 'knowledge', 'lower'), 'bits': codemix.Claim('mixed', 'piqa/gold_bits_per_byte', 'higher')}
  folder = add_benchmarks(written(tmp_path / 's', claims, evaluate=('knowledge', 'piqa')), tasks)
  found = judged(folder)
  parts = [codemix.load_scores(folder).query(f"task == '{task}' and score == 'score'") for task in ('triviaqa', 'nq_open')]
  changes = [100 * (scores[scores.arm == 'mixed'].value.mean() - scores[scores.arm == 'base'].value.mean()) for scores in parts]
  assert found['one'].difference.value == pytest.approx(changes[0]) and found['group'].difference.value == pytest.approx(np.mean(changes))
  assert found['group'].difference.items == 230 and found['group'].difference.noise == 'seeds and items' and found['group'].unit == 'points'
  assert found['bits'].unit == 'bits per byte' and found['bits'].difference.value > 0


def test_the_difference_of_scores_is_that_of_inference_also_with_other_numbers_of_seeds():
  generator = np.random.default_rng(0)
  correct = {f'{arm}{seed}': (generator.random(60) < 0.5).astype(float) for arm in 'ab' for seed in range(4)}
  task = TaskScores({name: of.mean() for name, of in correct.items()}, correct)
  own, base = {str(seed): f'a{seed}' for seed in range(4)}, {str(seed): f'b{seed}' for seed in (3, 1)}
  found = of_scores([(task, 1.0)], Contrast(own, {**base, '9': 'missing'}), ('a', 'b'))
  arms = [ArmScores.of(100 * np.stack([correct[folder] for folder in runs.values()]), tuple(runs), name) for runs, name in ((own, 'a'), (base, 'b'))]
  assert found == difference(*arms) and (len(found.own_figures), len(found.base_figures)) == (4, 2)
  figures = of_scores([(TaskScores(task.values, {}), 1.0)], Contrast(own, base), ('a', 'b'))
  assert figures.noise == 'seeds' and figures.value == pytest.approx(found.value)
  assert of_scores([(task, 1.0)], Contrast({}, base), ('a', 'b')) is None


@pytest.mark.parametrize('seeds', [1, 3, 6])
def test_bits_of_equal_documents_differ_as_their_means_do(seeds):
  generator = np.random.default_rng(1)
  rate = generator.gamma(20, 0.7 / 20, 60)
  nats = {f'{arm}{s}': 1000 * rate * (1 + 0.01 * generator.normal()) * generator.gamma(900, 1 / 900, 60) for arm in 'ab' for s in range(seeds)}
  own, base = ({str(s): f'{arm}{s}' for s in range(seeds)} for arm in 'ab')
  found = of_bits(measure_of(nats, np.full(60, 1000.0), (60,)), Contrast(own, base), ('a', 'b'))
  bits = [ArmScores.of(np.stack([nats[folder] for folder in runs.values()]) / (1000 * math.log(2)), tuple(runs)) for runs in (own, base)]
  expected = difference(*bits)
  assert (found.value, found.error) == pytest.approx((expected.value, expected.error)) and found.paired == expected.paired == (seeds >= 5)
  assert found.noise == expected.noise and found.freedom == pytest.approx(expected.freedom, rel=0.3)


# What was said when.


def test_a_claim_that_is_added_after_the_run_is_exploratory_and_takes_no_power_from_the_others(tmp_path):
  folder = written(tmp_path / 's', {'helps': HELPS})
  before = judged(folder)['helps']
  add(folder, **{f'late {number}': {'margin': number / 100} for number in range(1, 6)})
  found = judged(folder)
  assert found['helps'] == before
  late = found['late 1']
  assert (late.status, late.verdict, late.corrected_for) == ('exploratory', 'supported', 5) and late.p > before.p
  assert 'had begun when it was registered' in late.notes[0]


def test_a_changed_claim_is_exploratory_and_the_old_one_is_shown_with_its_verdict(tmp_path):
  folder = written(tmp_path / 's', {'hurts': HURTS, 'helps': HELPS})
  add(folder, hurts={'expected': 'lower', 'margin': 0.01})
  kept, new, old = gather(read_study(folder)).claims
  assert (kept.name, kept.status, kept.corrected_for) == ('helps', 'before the run', 2), 'the withdrawn one still counts'
  assert (new.name, new.status, new.verdict) == ('hurts', 'exploratory', 'supported')
  assert (old.name, old.status, old.verdict) == ('hurts', 'withdrawn', 'refuted') and 'after what it compares had begun' in old.notes[0]


def test_a_claim_that_was_withdrawn_before_the_run_has_no_verdict(tmp_path):
  folder = written(tmp_path / 's', {'helps': HELPS}, evaluated=False)
  add(folder, helps=None, hurts={'expected': 'higher'})
  new, old = gather(read_study(folder)).claims
  assert new.status == 'before the run' and (old.status, old.verdict) == ('withdrawn', 'withdrawn')


@pytest.mark.parametrize('also_hash', [False, True])
def test_a_claim_that_was_tampered_with_stops_the_report_and_is_named(tmp_path, capsys, also_hash):
  folder = written(tmp_path / 's', {'helps': HELPS})

  def change(value):
    claim = value['registrations'][0]['claims']['helps']
    claim['claim']['arguments']['expected'] = 'higher'
    claim['hash'] = digest(claim['claim']) if also_hash else claim['hash']

  edit(folder / FILE, change)
  with pytest.raises(UserError, match="'helps'.* was changed"):
    write_report(folder)
  assert main(['report', f'--output={folder}']) == 2 and "'helps'" in capsys.readouterr().err


# The pages.


def test_every_format_begins_with_the_claims(tmp_path):
  folder = written(tmp_path / 's', {'helps': HELPS, 'hurts': HURTS, 'with a margin': codemix.Claim('mixed', 'code', 'equal', margin=0.02)})
  page = Page(write_report(folder).read_text())
  ids = page.values('id')
  assert ids.index('claims') < ids.index('outcome')
  words = ' '.join(page.words)
  for said in ('Code helps code.', 'supported', 'refuted', 'equal within 0.02 bits per byte', 'mixed against base', 'before the run'):
    assert said in words
  short = (folder / 'report.md').read_text()
  assert short.index('## Claims') < short.index('## What the mixture did') and '| Code helps code. (helps) | supported |' in short
  table = pd.read_csv(folder / 'claims.csv')
  pd.testing.assert_frame_equal(table, pd.read_csv(io.StringIO(codemix.load_claims(folder).to_csv(index=False))))
  line = table.set_index('claim').loc['helps']
  assert (line.verdict, line.arm, line.against, line.unit, line.seeds, line.seeds_against) == ('supported', 'mixed', 'base', 'bits per byte', 3, 3)
  assert line.low < line.found < line.high < 0 and line.p < 0.05 and line.corrected_for == 3 and line.status == 'before the run'


def test_without_claims_there_is_no_section_and_no_file(finished_study, changed_study):
  page = (finished_study / 'report.html').read_text()
  assert 'id="claims"' not in page and '## Claims' not in (finished_study / 'report.md').read_text() and not (finished_study / 'claims.csv').exists()
  (changed_study / 'claims.csv').write_text('of a study that ran here before')
  write_report(changed_study)
  assert not (changed_study / 'claims.csv').exists() and (changed_study / 'report.html').read_text() == page
  assert codemix.load_claims(changed_study).empty


@pytest.mark.parametrize('hostile', ['<script>alert(1)</script>', '| a | b |', '{{ 7 * 7 }}'])
def test_no_sentence_becomes_markup(tmp_path, hostile):
  folder = written(tmp_path / 's', {hostile: codemix.Claim('mixed', 'code', 'lower', sentence=hostile)}, seeds=1)
  shown = Page(write_report(folder).read_text())
  assert hostile in shown.words and shown.tags.count('script') == 1
  line = next(line for line in (folder / 'report.md').read_text().splitlines() if 'unresolved (' in line)
  assert line.replace(r'\|', '').count('|') == 8 and '<script' not in line.replace(r'\<', '')
