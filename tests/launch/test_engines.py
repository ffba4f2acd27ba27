"""The engines behind `codemix launch` accept what it hands over: the real clients of XPK and SkyPilot, JobSet's schema, gcloud's commands."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from codemix.errors import UserError
from codemix.launch import jobset, skypilot, xpk
from codemix.launch.accelerators import GPUS, TPUS, Gpus, Tpus
from codemix.launch.exit_codes import RESTARTED
from codemix.launch.tpu_vm import TpuVm
from codemix.launch.yaml_text import as_yaml
from codemix.parallel.topology import SHAPES
from tests.launch import launches
from tests.launch.test_launches import FILES, ran

ROOT = Path(__file__).resolve().parents[2]
XPK = ROOT / '.venv-peers' / 'xpk' / 'bin' / 'python'
SKYPILOT = ROOT / '.venv-peers' / 'skypilot' / 'bin' / 'python'
SCHEMA = Path(__file__).parent / 'engines' / 'jobset_schema.py'

with_xpk = pytest.mark.skipif(not XPK.exists(), reason='launch/engines.sh has not been run')
with_skypilot = pytest.mark.skipif(not SKYPILOT.exists(), reason='launch/engines.sh has not been run')


def against_schema(text: str) -> str:
  """What is wrong with the JobSets of a manifest."""
  ended = subprocess.run([XPK, SCHEMA], input=text, capture_output=True, text=True, check=False)
  return ended.stderr


@with_xpk
@pytest.mark.parametrize('of', [launches.slices(), launches.slices(spot=False, accelerators=Tpus('v5p', (4, 4, 8))), launches.nodes(), launches.nodes(accelerators=Gpus('h200', 8))], ids=str)
def test_a_jobset_is_of_the_published_schema(of):
  assert against_schema(jobset.manifest(of, launches.IMAGE)) == ''


@with_xpk
@pytest.mark.parametrize(
  ('right', 'wrong', 'message'),
  [('backoffLimit: 0', 'backofLimit: 0', 'unknown fields: .*backofLimit'), ('parallelism: 64', 'parallelism: all', 'valid integer'), ('    operator: NotIn\n', '    values: []\n', 'operator'), ('containers:', 'initContainers:', 'containers')],
)
def test_the_check_of_the_schema_finds_mistakes(right, wrong, message):
  text = jobset.manifest(launches.slices(), launches.IMAGE)
  assert right in text
  assert re.search(message, against_schema(text.replace(right, wrong)))


@pytest.fixture
def no_cloud(tmp_path) -> Path:
  """Programs of the cloud that must not be called."""
  folder = tmp_path / 'no_cloud'
  folder.mkdir()
  for name in ('gcloud', 'kubectl', 'docker', 'crane'):
    (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> "{folder}/called"\nexit 99\n')
    (folder / name).chmod(0o755)
  return folder


def dry_run_of_xpk(words: list[str], no_cloud: Path, manifest: Path) -> subprocess.CompletedProcess:
  """The real client, without its look at which programs are installed; it calls none of them in a dry run."""
  home = no_cloud.parent / 'xpk_home'
  home.mkdir(exist_ok=True)
  given = [XPK, '-c', 'from xpk.main import main; main()', *words[1:], '--dry-run', '--skip-validation', f'--output-manifest-file={manifest}']
  return subprocess.run(given, env={'PATH': f'{no_cloud}:/usr/bin:/bin', 'HOME': str(home)}, capture_output=True, text=True, check=False, timeout=120)


@with_xpk
def test_xpk_accepts_the_workload_and_its_pods_run_the_script_unharmed(no_cloud, tmp_path):
  of = launches.slices()
  words = xpk.command(of, launches.IMAGE, 'pods', ['--zone=us-west4-a', '--project=lab'])
  ended = dry_run_of_xpk(words, no_cloud, tmp_path / 'manifest.yaml')
  assert ended.returncode == 0, ended.stdout + ended.stderr
  assert not (no_cloud / 'called').exists()
  text = (tmp_path / 'manifest.yaml').read_text()
  assert against_schema(text) == ''
  spec = yaml.safe_load(text)['spec']
  [slices] = spec['replicatedJobs']
  job = slices['template']['spec']
  assert (slices['replicas'], job['parallelism'], spec['failurePolicy']['maxRestarts']) == (2, of.accelerators.hosts, 20)
  [rule] = job['podFailurePolicy']['rules']
  restarted = rule['onExitCodes']['values']
  assert rule['action'] == 'FailJob' and rule['onExitCodes']['operator'] == 'NotIn' and {74, 75, 76, 137, 143} <= set(restarted) and not {1, 2, 3} & set(restarted)
  [container] = job['template']['spec']['containers']
  shell, flag, script = container['command']
  assert (shell, flag) == ('bash', '-c')
  seen, files, variables = ran(script, tmp_path)
  assert seen == ['-m', 'codemix', 'study', *of.gin_arguments] and variables == of.environment
  assert files == {name: text.rstrip('\n') + '\n' for name, text in of.files.items()}


@with_xpk
def test_xpk_refuses_a_flag_that_it_does_not_know(no_cloud, tmp_path):
  words = xpk.command(launches.slices(), launches.IMAGE, 'pods', ['--zone=us-west4-a', '--project=lab', '--no-such-flag=1'])
  assert dry_run_of_xpk(words, no_cloud, tmp_path / 'manifest.yaml').returncode == 2


TABLE_OF_XPK = """
import sys
from xpk.core.workload import _parse_workload_item, _render_workloads
condition = lambda kind, message: {'type': kind, 'status': 'True', 'lastTransitionTime': '2026-11-30T10:00:00Z', 'message': message}
item = lambda name, *conditions: {'metadata': {'ownerReferences': [{'name': name}], 'creationTimestamp': '2026-11-29T10:00:00Z'}, 'status': {'conditions': list(conditions)}}
rows = [item('run-2', condition('Admitted', 'The workload is admitted')), item('run', condition('Finished', 'jobset failed   due to reaching max number of restarts')), item('queued', condition('QuotaReserved', ''))]
print('[XPK] Starting workload list', flush=True)
print('[XPK] Workload List Output:\\n' + _render_workloads([_parse_workload_item(each) for each in rows]))
"""


@with_xpk
def test_the_table_of_xpk_is_read(tmp_path, monkeypatch):
  (tmp_path / 'xpk').write_text(f'#!/bin/sh\nexec {XPK} {tmp_path}/table.py\n')
  (tmp_path / 'xpk').chmod(0o755)
  (tmp_path / 'table.py').write_text(TABLE_OF_XPK)
  monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
  assert [xpk.status_of(name, xpk.list_words(name, 'pods', ())) for name in ('run', 'run-2', 'queued', 'ru')] == ['Finished', 'Admitted', 'QuotaReserved', '']


@with_xpk
@pytest.mark.parametrize('verb', ['list', 'delete'])
def test_xpk_has_the_verbs_with_which_a_finished_workload_is_replaced(verb, no_cloud):
  words = {'list': xpk.list_words('run', 'pods', ['--zone=z', '--project=lab', '--priority=high']), 'delete': xpk.delete_words('run', 'pods', ['--zone=z'])}[verb]
  parsed = 'import sys; from xpk.parser.core import set_parser; import argparse; parser = argparse.ArgumentParser(); set_parser(parser); print(parser.parse_args(sys.argv[1:]).cluster)'
  ended = subprocess.run([XPK, '-c', parsed, *words[1:]], env={'PATH': f'{no_cloud}:/usr/bin:/bin', 'HOME': str(no_cloud)}, capture_output=True, text=True, check=False)
  assert ended.stdout.strip() == 'pods', ended.stderr


@with_xpk
def test_xpk_has_the_same_names_hosts_and_labels_of_every_slice():
  asked = 'import json; from xpk.core.system_characteristics import UserFacingNameToSystemCharacteristics as known; print(json.dumps({k: [v.topology, v.vms_per_slice, v.gke_accelerator, v.chips_per_vm] for k, v in known.items()}))'
  known = json.loads(subprocess.run([XPK, '-c', asked], capture_output=True, text=True, check=True).stdout)
  compared = 0
  for chip, shapes in SHAPES.items():
    for shape in shapes:
      tpus = Tpus(chip, shape)
      if tpus.accelerator_type in known:  # XPK knows no slices of v5e of one host
        assert [tpus.topology, tpus.hosts, TPUS[chip].gke, tpus.chips_per_host] == known[tpus.accelerator_type]
        compared += 1
  assert compared >= 30


PARSED = """
import json, sys
import sky, yaml
config = yaml.safe_load(open(sys.argv[1]))
# As `sky jobs launch --secret=NAME` takes their values from the environment.
task = sky.Task.from_yaml_config(config, secrets_overrides=[(name, 'value') for name in config.get('secrets', {})])
[resources] = task.resources
print(json.dumps([task.name, task.num_nodes, task.run, resources.accelerators, resources.use_spot, resources.job_recovery, sorted(task.secrets), task.file_mounts]))
"""


def parsed_by_skypilot(text: str, folder: Path) -> subprocess.CompletedProcess:
  (folder / 'task.yaml').write_text(text)
  return subprocess.run([SKYPILOT, '-c', PARSED, folder / 'task.yaml'], env={**os.environ, 'HOME': str(folder)}, capture_output=True, text=True, check=False, timeout=120)


@with_skypilot
@pytest.mark.parametrize(
  ('of', 'accelerators', 'nodes'),
  [(launches.slices(accelerators=Tpus('v5e', (16, 16))), {'tpu-v5litepod-256': 1}, 1), (launches.nodes(), {'H100': 8}, 4)],
  ids=['tpus', 'gpus'],
)
def test_skypilot_reads_the_task_as_it_is_meant(of, accelerators, nodes, tmp_path):
  (sent := tmp_path / 'sent').mkdir()
  made = skypilot.task(of, installed=('3.12', 'codemix[tpu,gcs]'), sent=sent)
  ended = parsed_by_skypilot(as_yaml(made), tmp_path)
  assert ended.returncode == 0, ended.stderr
  name, count, run, resources, spot, recovery, secrets, mounts = json.loads(ended.stdout.splitlines()[-1])
  assert (name, count, run.strip(), resources, spot, secrets) == ('run', nodes, made['run'].strip(), accelerators, of.spot, list(of.secrets))
  assert mounts == {'~/codemix': str(sent)}
  assert recovery['recover_on_exit_codes'] == list(RESTARTED) and recovery['max_restarts_on_errors'] == 0


@with_skypilot
def test_skypilot_has_a_name_for_every_gpu():
  asked = 'import json; from sky import catalog; print(json.dumps(catalog.get_common_gpus()))'
  known = json.loads(subprocess.run([SKYPILOT, '-c', asked], capture_output=True, text=True, check=True).stdout)
  assert {gpu.sky for gpu in GPUS.values()} <= set(known)
  # 'A100' has 40 GB there: both launchers name the machine of 80 GB.
  assert '80gb' in GPUS['a100'].gke and '80GB' in GPUS['a100'].sky and 'A100' in known


@with_skypilot
def test_skypilot_refuses_a_field_that_it_does_not_know(tmp_path):
  made = skypilot.task(launches.nodes(), launches.IMAGE)
  made['resources']['recovery'] = {}
  assert 'recovery' in parsed_by_skypilot(as_yaml(made), tmp_path).stderr


def gcloud_commands() -> dict | None:
  """The commands and flags of the gcloud that is installed, from the table of its completion."""
  if not (found := shutil.which('gcloud')) or not (table := Path(found).resolve().parents[1] / 'data' / 'cli' / 'gcloud_completions.py').is_file():
    return None
  spec = importlib.util.spec_from_file_location('gcloud_completions', table)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.STATIC_COMPLETION_CLI_TREE


def unknown_to(tree: dict, words: list[str]) -> list[str]:
  """Words of a command line of gcloud that its table does not have."""
  node, wide, rest = tree, tree['flags'], words[1:]
  while rest and rest[0] in node['commands']:
    node, rest = node['commands'][rest[0]], rest[1:]
  flags = [word.partition('=')[0] for word in rest if word.startswith('--')]
  return [words[1 : len(words) - len(rest)][-1]] * bool(node['commands']) + [flag for flag in flags if flag not in {*node['flags'], *wide}]


@pytest.mark.skipif(gcloud_commands() is None, reason='gcloud is not installed')
def test_gcloud_has_every_command_and_flag():
  tree = gcloud_commands()
  for of in (launches.slices(), launches.slices(accelerators=Tpus('v6e', (4, 4)), spot=False)):
    for words in TpuVm(of, 'us-west4-a', 'lab', ('--reserved',)).whole('codemix', '3.12', FILES):
      assert unknown_to(tree, words) == []
  assert unknown_to(tree, ['gcloud', 'compute', 'tpus', 'queued-resources', 'create', 'a', '--spto']) == ['--spto']
  assert unknown_to(tree, ['gcloud', 'compute', 'tpus', 'queued-resources', 'make', 'a']) == ['queued-resources']


@pytest.mark.parametrize(
  ('attempt', 'message'),
  [
    (lambda: xpk.command(launches.nodes(), launches.IMAGE, 'pods'), 'launch xpk` is for TPUs'),
    (lambda: xpk.command(launches.slices(secrets=('HF_TOKEN',)), launches.IMAGE, 'pods'), 'XPK writes variables into the manifest'),
    (lambda: skypilot.task(launches.slices(), launches.IMAGE), 'SkyPilot does not join TPU slices'),
    (lambda: TpuVm(launches.nodes(), 'z'), 'launch tpu_vm` is for TPUs'),
    (lambda: launches.slices(name='My run'), "--name is 'My run'; it has at most 40 lower-case letters"),
    (lambda: launches.slices(secrets=('HF_TOKEN=hf_123',)), r"--secret is 'HF_TOKEN\.\.\.'"),
    (lambda: launches.slices(files={'a.gin': '#' * 70_000}), "gin files have 70,000 characters"),
    (lambda: jobset.cluster_of(['--namespace=lab']), "--option is '--namespace=lab'; for jobset it is namespace=NAME, queue=NAME, service_account=NAME or node_label=KEY=VALUE. Did you mean 'namespace'"),
    (lambda: jobset.cluster_of(['node_label=gpu']), "--option is 'node_label=gpu'"),
    (lambda: jobset.manifest(launches.nodes(spot=True), launches.IMAGE, jobset.cluster_of(['node_label=gpu=h100'])), "--spot asks for GKE's label of spot nodes"),
    (lambda: Gpus('h10', 8, 1), "--gpu is 'h10'; it is one of a100, h100, h200, b200. Did you mean 'h100'"),
  ],
)
def test_what_an_engine_cannot_do_is_refused(attempt, message):
  with pytest.raises(UserError, match=message):
    attempt()
