"""Two stages answer the same instructions, and a judge compares them: over HTTP, by a checkpoint, and with itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import codemix
from codemix import cli
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.results import read_results
from codemix.evaluation.tasks.registry import TASKS
from codemix.evaluation.tasks.task import Settings
from codemix.models.decoding import Decoding
from codemix.studies.judging import judge_stages
from tests import tiny_study
from tests.evaluation.judge.server import judge_server
from tests.in_process import one_device_mesh, use_one_device

KEY = 'sk-secret-0123456789'
COUNT = 10


@pytest.fixture(scope='module')
def output(tmp_path_factory) -> Path:
  """A study of two stages, and the instructions beside it."""
  root = tmp_path_factory.mktemp('judging')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  recipe = tiny_study.recipe(tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 4), tiny_study.cooldown({'text': 1}, 2))
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(tiny_study.study(only=recipe), data, tiny_study.runtime(root / 'output'))
  (root / 'eval' / 'dolly').mkdir(parents=True)
  rows = [{'instruction': f'Say the word number {n}.', 'context': '', 'response': f'word {n}'} for n in range(COUNT)]
  (root / 'eval' / 'dolly' / 'databricks-dolly-15k.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  return root / 'output'


@pytest.fixture(autouse=True)
def key(monkeypatch):
  monkeypatch.setenv('OPENAI_API_KEY', KEY)


def stages(output: Path) -> tuple:
  return tuple(codemix.load_stage(next(output.glob(f'stages/{name}-*'))) for name in ('cooldown', 'balanced'))


def compare(output: Path, first, other, server=None, *, model: str = 'judge', temperature: float = 0.0, **judge):
  decoding = Decoding(max_new_tokens=6, temperature=temperature)
  settings = Settings(EvaluationFolder(output.parent / 'eval'), decoding=decoding)
  of_server = {'model': model, 'url': server.url, 'wait_s': 0.01} if server else {}
  return judge_stages(first, other, TASKS['dolly'], settings, Judge(**of_server, **judge), one_device_mesh())


def test_a_comparison_is_stored_and_asked_once(output):
  first, other = stages(output)
  with judge_server(lambda a, b: 'A') as server:  # always the answer shown first
    server.faults = [429, 'garbage']
    found = compare(output, first, other, server)
    asked = server.requests
    again = compare(output, first, other, server)
    assert server.requests == asked == found.asked + 2
  assert again.scores == found.scores and again.asked == 0
  assert (found.scores['prompts'], found.scores['judged'], found.scores['win_rate']) == (COUNT, COUNT, 0.5)
  stored = read_results(first.folder)[f'judge/dolly-against-{other.folder.name}']
  assert stored.scores == found.scores and len(stored.items()['id']) == COUNT
  written = [path.read_bytes() for path in output.rglob('*') if path.is_file()]
  assert not any(KEY.encode() in content for content in written)


def test_what_the_budget_left_is_asked_by_the_next_call(output):
  first, other = stages(output)
  with judge_server(lambda a, b: 'B') as server:
    part = compare(output, other, first, server, model='judge-3', budget=7)
    assert server.requests == 7 and part.scores['not_asked'] > 0
    whole = compare(output, other, first, server, model='judge-3')
    assert whole.scores['not_asked'] == 0 and whole.scores['judged'] == COUNT
    asked = server.requests
    mirrored = compare(output, first, other, server, model='judge-3')  # the same questions
    assert server.requests == asked and mirrored.scores['win_rate'] == 0.5


def test_an_a_a_run_compares_two_samples_and_refuses_greedy_answers(output):
  first, _ = stages(output)
  with judge_server(lambda a, b: 'A' if len(a) > len(b) else 'B') as server:
    with pytest.raises(UserError, match='temperature'):
      compare(output, first, first, server)
    found = compare(output, first, first, server, temperature=1.0)
  assert found.name == 'judge/dolly-against-itself'
  assert found.scores['win_rate_low'] <= 0.5 <= found.scores['win_rate_high']


def test_a_checkpoint_may_judge(output):
  first, other = stages(output)
  found = compare(output, first, other, checkpoint=str(other.folder))
  assert found.scores['judged'] == COUNT and found.scores['unparsed'] == 0


def test_the_command_compares_and_the_report_shows_it(output, capsys):
  first, other = stages(output)
  flags = [f'--eval_dir={output.parent / "eval"}', '--tasks=dolly', '--max_new_tokens=6']
  with judge_server(lambda a, b: 'A' if a < b else 'B') as server:
    line = ['evaluate', str(first.folder), *flags, f'--against={other.folder}', '--judge=judge-2', f'--judge_url={server.url}']
    assert cli.main([*line, '--format=json']) == 0
    scores = json.loads(capsys.readouterr().out)['scores']
    assert list(scores) == [f'judge/dolly-against-{other.folder.name}']
    assert cli.main(line) == 0
    assert 'win rate' in capsys.readouterr().err
  assert cli.main(['evaluate', str(first.folder), *flags, f'--against={other.folder}']) == 2
  assert '--judge' in capsys.readouterr().err
  page = codemix.write_report(output).read_text()
  assert 'dolly' in page and 'win' in page.lower()
