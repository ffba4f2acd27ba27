"""What `codemix train` refuses before its first step, `codemix inspect` refuses in the same words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codemix import cli
from codemix.storage import locked
from tests import tiny_study
from tests.commands.test_wrong_input import GIN


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  root = tmp_path_factory.mktemp('root')
  tiny_study.prepare(root / 'data', bytes_each=6_000)
  # Corpora, so that a source that is missing is known to be without SeqIO.
  (root / 'recipe.gin').write_text(GIN + "\nData.sources = {'web': @Corpus()}\nCorpus.reader = @JsonLines()\nCorpus.layout = @Text()\nCorpus.files = {'train': 'none/*.jsonl'}\n")
  return root


def run(root: Path, verb: str, *flags: str) -> int:
  data, output = f"--gin.Data.directory='{root / 'data'}'", f"--gin.Runtime.output='{root / 'out'}'"
  return cli.main([verb, f'--gin_file={root / "recipe.gin"}', data, output, *flags])


def last_line(said: str) -> str:
  return said.splitlines()[-1].partition(': ')[2]


REFUSED = [
  ('a batch of 12 rows does not divide over 8 devices', ('--gin.Stage.batch=12', '--gin.Stage.tokens=2048')),
  ('x 3 microbatches', ('--gin.Runtime.microbatches=3',)),
  ("'vocab' of size 259", ('--gin.MeshConfig.tensor=4',)),
  ('does not fit 8 devices', ('--gin.MeshConfig.fsdp=3',)),
  ('rows of 36 tokens do not divide over 8 devices', ('--gin.MeshConfig.sequence=8', '--gin.MeshConfig.data=1', '--gin.Recipe.length=36')),
  ('web', ("--gin.Study.validation=('text', 'web')",)),
  ('none/*.jsonl', ("--gin.first/Stage.mixture={{'text': 0.5, 'web': 0.5}}",)),
  ('a part of the path is a file', ("--gin.Runtime.output='{root}/recipe.gin/out'",)),
  ('MiB are needed', ("--gin.Runtime.output='{root}/new'", '--gin.ModelConfig.width=160')),
  ('Recipe.max_epochs is 4', ('--gin.Stage.tokens=200_000',)),
  ('99', ('--gin.WarmupCosine.warmup_steps=99',)),
  ("stage 'second'", ('--gin.second/Stage.schedule=None',)),
  ('ModelConfig.vocab_size', ('--gin.ModelConfig.vocab_size=100',)),
]


@pytest.mark.parametrize(('says', 'flags'), REFUSED, ids=[says for says, _ in REFUSED])
def test_inspect_refuses_what_train_refuses_in_the_same_words(says, flags, root, capsys, monkeypatch):
  monkeypatch.setattr('shutil.disk_usage', lambda folder: _Disk())
  flags = [flag.format(root=root) for flag in flags]
  said = {}
  for verb in ('inspect', 'train'):
    before = sorted(root.rglob('*'))
    assert run(root, verb, *flags) == 2
    if verb == 'inspect':
      assert sorted(root.rglob('*')) == before
    printed = capsys.readouterr()
    assert printed.out == ''
    said[verb] = last_line(printed.err)
  assert says in said['inspect']
  assert said['inspect'] == said['train']


class _Disk:
  """Room for the small model of the tests, and for no larger one."""

  free = 2**20


def test_a_plan_that_is_refused_for_the_devices_is_refused_by_plan_in_the_same_words(root, capsys):
  flags = ('--gin.Stage.batch=12', '--gin.Stage.tokens=2048')
  assert run(root, 'plan', '--topology=cpu:8', *flags) == 2
  planned = last_line(capsys.readouterr().err)
  assert run(root, 'inspect', *flags) == 2
  assert last_line(capsys.readouterr().err) == planned


def test_inspect_of_a_study_that_can_be_trained_leaves_no_folder_behind(root, capsys):
  assert run(root, 'inspect', f"--gin.Runtime.output='{root}/not/yet'", '--format=json') == 0
  assert list(json.loads(capsys.readouterr().out)) == ['recipe']
  assert not (root / 'not').exists()


def test_inspect_shows_the_plan_of_a_study_that_another_process_trains_and_then_says_so(root, capsys):
  capsys.readouterr()
  assert run(root, 'inspect', '--format=json') == 0
  first = json.loads(capsys.readouterr().out)['recipe'][0]
  with locked(root / 'out' / 'stages' / f'first-{first["hash"][:12]}', 'training'):
    said = {}
    for verb in ('inspect', 'train'):
      assert run(root, verb, '--format=json') == 2
      printed = capsys.readouterr()
      said[verb] = last_line(printed.err)
      if verb == 'inspect':
        assert json.loads(printed.out)['recipe'][0] == first
    assert 'another process is training in' in said['train']
    assert said['inspect'] == said['train']


def test_a_validation_split_without_text_is_refused_before_anything_is_trained(root, tmp_path, capsys):
  data = tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  tiny_study.write_store(data, 'text', 'validation', [])
  assert run(root, 'inspect', f"--gin.Data.directory='{tmp_path / 'data'}'") == 2
  assert "'text' (validation) holds no text" in capsys.readouterr().err
