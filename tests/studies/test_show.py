import io
from types import SimpleNamespace

import pytest
from rich.console import Console

import codemix
from codemix.data.mixtures.mixture import parse_mixture
from codemix.storage import as_path
from codemix.studies.show import mixture_tree, show_plan, show_stage
from tests import tiny_study
from tests.in_process import one_device_mesh


def test_a_mixture_is_a_tree_with_the_share_tokens_and_epochs_of_each_source():
  mixture = parse_mixture({'text': 0.5, 'code': (0.5, {'web': 0.8, 'markup': 0.2})})
  console = Console(record=True, width=100, file=io.StringIO())
  console.print(mixture_tree(mixture, 1_000_000, {'text': 250_000, 'web': 800_000, 'markup': None}))
  said = [line.strip('│├└─ ') for line in console.export_text().splitlines()]
  assert said == [
    'mixture 100.00%, 1.00M tokens',
    'text 50.00%, 500k tokens, 2.000 epochs',
    'code 50.00%, 500k tokens',
    'web 40.00%, 400k tokens, 0.500 epochs',
    'markup 10.00%, 100k tokens',
  ]


@pytest.mark.parametrize(('folder', 'says'), [('a-0123456789ab', '(done before)'), ('a-ba9876543210', '(done before, in a-ba9876543210)')])
def test_the_folder_of_a_stage_that_was_done_before_is_said_where_it_has_another_name(folder, says, tmp_path, capsys):
  (tmp_path / 'stages' / folder).mkdir(parents=True)
  (tmp_path / 'stages' / folder / 'done.json').write_text('{}')
  stage_plan = SimpleNamespace(
    stage=SimpleNamespace(name='a'), hash='0123456789ab', earlier_hash='ba9876543210', folder_name='a-0123456789ab', start=None
  )
  stage_plan.lineage = lambda: [stage_plan]
  show_stage(SimpleNamespace(recipes={'r': [stage_plan]}, stages=lambda: [stage_plan]), stage_plan, 1, str(tmp_path))
  assert capsys.readouterr().err.strip() == f'1/1 a for r {says}'


@pytest.mark.parametrize('remote', [True, False])
def test_the_network_is_said_where_the_data_are_in_a_bucket(remote, tmp_path, request):
  root = as_path(f'{request.getfixturevalue("bucket")}/show') if remote else tmp_path
  data = tiny_study.prepare(root / 'data', bytes_each=9_000)
  stage = tiny_study.stage('mixed', {'text': 0.7, 'code': 0.3}, 3)
  plan = codemix.plan_study(codemix.Study(name='network', recipes={'only': tiny_study.recipe(stage)}), data)
  placement = tiny_study.runtime(tmp_path / 'run').placement(one_device_mesh())
  show_plan(plan, {}, placement, str(tmp_path / 'run'), shown := io.StringIO())
  said = ' '.join(shown.getvalue().split())
  assert ('network: a step needs up to' in said) == remote
  # Two sources, of which each has a block of tokens and a block of its table.
  assert ('0.25 MiB from the bucket in about 4 requests' in said) == remote
