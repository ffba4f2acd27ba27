"""Every launcher passes on what it is given, unharmed; what it would run is kept as files, and engines accept it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.launch import jobset, skypilot, xpk
from codemix.launch.exit_codes import RESTARTED, of_all
from codemix.launch.specification import Specification
from codemix.launch.tpu_vm import TpuVm
from codemix.launch.yaml_text import as_yaml
from tests.launch import launches
from tests.test_docs import ROOT, sections, table

GOLDEN = Path(__file__).parents[1] / 'golden' / 'launch'
FILES = [Path('FOLDER') / name for name in ('setup.sh', 'worker.sh', 'constraints.txt', 'run.sh')]
ODD = st.text(st.characters(blacklist_categories=('Cs', 'Cc', 'Zl', 'Zp')), min_size=1)
NAMES = ODD.filter(lambda text: '/' not in text and text.strip('.') and len(text.encode()) < 200)


def made() -> dict[str, str]:
  """What each launcher would run or apply, by the name of its golden file."""
  slices, nodes = launches.slices(), launches.nodes()
  vms = TpuVm(slices, 'us-west4-a', 'lab', ('--service-account=trainer@lab.iam.gserviceaccount.com',))
  return {
    'run.sh': slices.script(),
    'tpu_vm.txt': ''.join(f'{shlex.join(words)}\n' for words in vms.whole('codemix[tpu,gcs]==0.1.0', '3.12', FILES)),
    'xpk.txt': f'{shlex.join(xpk.command(slices, launches.IMAGE, "pods", ["--zone=us-west4-a"]))}\n',
    'jobset_tpu.yaml': jobset.manifest(slices, launches.IMAGE),
    'jobset_gpu.yaml': jobset.manifest(nodes, launches.IMAGE),
    'skypilot_tpu.yaml': as_yaml(skypilot.task(launches.slices(accelerators=one_slice()), installed=('3.12', 'codemix[tpu,gcs]==0.1.0'), sent=Path('FOLDER'))),
    'skypilot_gpu.yaml': as_yaml(skypilot.task(nodes, launches.IMAGE)),
  }


def one_slice():
  return launches.Tpus('v5e', (16, 16))


@pytest.mark.parametrize('name', made())
def test_what_is_run_is_that_of_the_golden_files(name):
  """After a change on purpose: python -m tests.launch.test_launches writes them."""
  assert made()[name] == (GOLDEN / name).read_text()


def scripts(of: Specification) -> dict[str, str]:
  """The program of the processes, taken out of what each launcher hands over."""
  command = xpk.command(of, launches.IMAGE, 'pods')[-1].removeprefix('--command=')
  job = list(yaml.safe_load_all(jobset.manifest(of, launches.IMAGE)))
  task = yaml.safe_load(as_yaml(skypilot.task(of, launches.IMAGE)))
  return {'xpk': command, 'jobset': job[0]['data']['run.sh'], 'skypilot': task['run'], 'tpu_vm': TpuVm(of, 'z').sent('')[TpuVm(of, 'z').script]}


PYTHON = """#!{python} -S
import json, os, sys
files = {{os.path.relpath(os.path.join(folder, name)): open(os.path.join(folder, name)).read() for folder, _, names in os.walk('.') for name in names}}
json.dump([sys.argv[1:], files, {{k: v for k, v in os.environ.items() if k.startswith(('LIBTPU', 'XLA_'))}}], open(os.environ['SEEN'], 'w'))
sys.exit(75)
"""


def ran(script: str, folder: Path) -> tuple[list[str], dict[str, str], dict[str, str]]:
  """The words, files and variables that codemix gets when a machine runs the script."""
  (folder / 'programs').mkdir(parents=True, exist_ok=True)
  (folder / 'programs' / 'python3').write_text(PYTHON.format(python=sys.executable))
  (folder / 'programs' / 'python3').chmod(0o755)
  (folder / 'programs' / 'getent').write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(folder / "asked"))}\n')  # every pod has an address
  (folder / 'programs' / 'getent').chmod(0o755)
  (folder / 'home').mkdir(exist_ok=True)
  variables = {'PATH': f'{folder / "programs"}:{os.environ["PATH"]}', 'SEEN': str(folder / 'seen'), 'HOME': str(folder / 'home'), 'TMPDIR': str(folder / 'home')}
  ended = subprocess.run(['bash', '-c', script], cwd=folder / 'home', env=variables, capture_output=True, text=True, check=False)
  assert ended.returncode == 75, ended.stderr  # the exit code is that of codemix
  assert not list(folder.rglob('hacked'))
  return json.loads((folder / 'seen').read_text())


@pytest.mark.parametrize('launcher', ['xpk', 'jobset', 'skypilot', 'tpu_vm'])
def test_hostile_names_arrive_unharmed(launcher, tmp_path):
  of = launches.slices(accelerators=one_slice())
  words, files, variables = ran(scripts(of)[launcher], tmp_path)
  assert words == ['-m', 'codemix', 'study', *of.gin_arguments]
  assert files == {name: text.rstrip('\n') + '\n' for name, text in of.files.items()}
  assert variables == of.environment


@settings(max_examples=30, deadline=None)
@given(name=NAMES, folder=NAMES, binding=ODD, text=st.text(st.characters(blacklist_categories=('Cs',), blacklist_characters='\x00\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029')))
def test_any_name_arrives_unharmed(name, folder, binding, text, tmp_path_factory):
  of = launches.slices(accelerators=one_slice(), files={f'{folder}/{name}.gin': text}, gin_arguments=(f'--gin_file={folder}/{name}.gin', f'--gin.Study.note={binding}'))
  for script in scripts(of).values():
    words, files, _ = ran(script, tmp_path_factory.mktemp('machine'))
    assert words[3:] == list(of.gin_arguments) and files == {f'{folder}/{name}.gin': text.rstrip('\n') + '\n' if text.strip('\n') else files[f'{folder}/{name}.gin']}


def test_processes_of_several_nodes_are_told_who_the_others_are(tmp_path):
  of = launches.nodes()
  told = ['--coordinator_address=run-slice-0-0.run:9911', '--num_processes=4', '--process_id=3']
  script = list(yaml.safe_load_all(jobset.manifest(of, launches.IMAGE)))[0]['data']['run.sh']
  words, _, _ = ran(f'export JOB_COMPLETION_INDEX=3\n{script}', tmp_path)
  assert words[-3:] == told
  variables = 'export SKYPILOT_NODE_IPS=$\'10.0.0.1\\n10.0.0.2\' SKYPILOT_NUM_NODES=2 SKYPILOT_NODE_RANK=1\n'
  words, _, _ = ran(variables + skypilot.task(of, launches.IMAGE)['run'], tmp_path)
  assert words[-3:] == ['--coordinator_address=10.0.0.1:9911', '--num_processes=2', '--process_id=1']


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
@pytest.mark.parametrize('of', [launches.slices(accelerators=one_slice()), launches.nodes()], ids=['tpus', 'gpus'])
def test_shellcheck_finds_nothing_in_the_scripts(of):
  task = skypilot.task(of, installed=('3.12', 'codemix[gpu]'), sent=Path('FOLDER'))
  texts = [of.script(), task['run'], f'#!/bin/bash\n{task["setup"]}', list(yaml.safe_load_all(jobset.manifest(of, launches.IMAGE)))[0]['data']['run.sh']]
  for text in texts:
    # SC1003 and SC2016 advise against single quotes around what a shell would replace, which is what they are for here.
    checked = subprocess.run(['shellcheck', '--shell=bash', '--exclude=SC1003,SC2016', '-'], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_xpk_sends_signals_to_codemix_itself(tmp_path):
  """As XPK starts it: in a subshell, to which it passes on SIGTERM."""
  of = launches.slices()
  (tmp_path / 'python3').write_text(f'#!{sys.executable} -S\nimport signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\nprint("ready", flush=True)\ntime.sleep(60)\n')
  (tmp_path / 'python3').chmod(0o755)
  command = xpk.command(of, launches.IMAGE, 'pods')[-1].removeprefix('--command=')
  around = f'_sigterm() (kill -SIGTERM $! 2>/dev/null;)\ntrap _sigterm SIGTERM\n({command}) & PID=$!\nwhile kill -0 $PID 2>/dev/null; do sleep 0.1; done\nwait $PID\nexit $?'
  with subprocess.Popen(['bash', '-c', around], env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'}, stdout=subprocess.PIPE, text=True) as pod:
    assert pod.stdout.readline() == 'ready\n'
    pod.terminate()
  assert pod.returncode == 75


def test_the_code_of_a_run_is_the_first_that_a_new_start_does_not_help_against():
  assert of_all([]) == of_all([0, 0]) == 0
  assert of_all([76, 75, 137]) == 75 and of_all([143, 0]) == of_all([76]) == 76
  assert of_all([76, 2, 137]) == 2 and of_all([0, 76, 1]) == 1 and of_all([3, 2]) == 3


def test_the_page_has_the_codes_after_which_a_run_starts_again():
  rows = table(sections(ROOT / 'docs' / 'pods.md')['After each exit code'])
  assert {int(code) for row in rows if row['launchers'] == 'start again' for code in row['code'].split(', ')} == set(RESTARTED)


def way(of: Specification, code: int, disrupted: bool) -> str:
  """What becomes of a JobSet one of whose pods ended so, by the documentation of Jobs and of JobSet: in both the first rule that matches counts."""
  spec = jobset.job_set(of, launches.IMAGE)['spec']
  job = spec['replicatedJobs'][0]['template']['spec']
  assert job['backoffLimit'] == 0  # a failure without a rule fails the Job, too
  reason, message = 'BackoffLimitExceeded', 'Job has reached the specified backoff limit'
  for number, rule in enumerate(job['podFailurePolicy']['rules']):
    assert rule['action'] == 'FailJob'
    asked = rule.get('onExitCodes')
    if asked and (code in asked['values']) == (asked['operator'] == 'In') or disrupted and 'onPodConditions' in rule:
      reason, message = 'PodFailurePolicy', f'Container codemix for pod default/run-slice-0-3-x7k2p failed with exit code {code} matching FailJob rule at index {number}'
      break
  for rule in spec['failurePolicy']['rules']:
    if reason in rule['onJobFailureReasons'] and any(re.search(pattern, message) for pattern in rule['onJobFailureMessagePatterns']):
      return rule['action']
  return 'RestartJobSet'


@pytest.mark.parametrize('of', [launches.slices(), launches.nodes()], ids=['tpus', 'gpus'])
def test_a_jobset_restarts_after_the_codes_of_the_table_and_counts_no_preemption(of):
  for code in range(1, 256):
    expected = 'RestartJobSetAndIgnoreMaxRestarts' if code == 75 else 'RestartJobSet' if code in RESTARTED else 'FailJobSet'
    assert way(of, code, disrupted=False) == expected
    assert way(of, code, disrupted=True) == 'RestartJobSetAndIgnoreMaxRestarts'
  assert jobset.job_set(of, launches.IMAGE)['spec']['failurePolicy']['maxRestarts'] == 20


def test_the_pods_of_a_jobset_wait_until_all_have_addresses(tmp_path):
  """Those whose nodes are there would else fail by and by while a lost node is replaced."""
  for of, hosts in ((launches.slices(), [f'run-slice-{k}-{j}.run' for k in range(2) for j in range(64)]), (launches.nodes(), [f'run-slice-0-{j}.run' for j in range(4)])):
    ran(f'export JOB_COMPLETION_INDEX=0\n{scripts_of_jobset(of)}', folder := tmp_path / of.accelerators.flag_set)
    assert (folder / 'asked').read_text().split('\n')[:-1] == [f'hosts {host}' for host in hosts]
  alone = launches.nodes(accelerators=launches.Gpus('h100', 8))
  assert 'getent' not in scripts_of_jobset(alone)


def test_a_pod_that_waits_for_others_ends_when_it_is_asked_to(tmp_path):
  (tmp_path / 'getent').write_text(f'#!/bin/sh\ntouch {shlex.quote(str(tmp_path / "waits"))}\nexit 2\n')
  (tmp_path / 'getent').chmod(0o755)
  with subprocess.Popen(['bash', '-c', scripts_of_jobset(launches.nodes())], env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'}) as pod:
    while not (tmp_path / 'waits').exists():
      assert pod.poll() is None
      time.sleep(0.02)
    pod.terminate()
  assert pod.returncode == 75


def scripts_of_jobset(of: Specification) -> str:
  return jobset.config_map(of)['data']['run.sh']


def test_another_script_has_another_config_map_and_another_specification():
  """The pods of a run that is at work mount what they were started with."""
  names, digests = set(), set()
  for of in (launches.nodes(), launches.nodes(files={'a.gin': 'Recipe.seed = 2\n'}), launches.nodes(restarts=3)):
    config_map, job_set = yaml.safe_load_all(jobset.manifest(of, launches.IMAGE))
    [volume] = [each for each in job_set['spec']['replicatedJobs'][0]['template']['spec']['template']['spec']['volumes'] if 'configMap' in each]
    assert volume['configMap']['name'] == config_map['metadata']['name'] and config_map['immutable'] is True
    names.add(config_map['metadata']['name'])
    digests.add(job_set['metadata']['annotations'][jobset.SPECIFICATION])
  assert len(names) == 2 and len(digests) == 3


def test_a_jobset_goes_where_the_options_say():
  cluster = jobset.cluster_of(['namespace=lab', 'queue=research', 'service_account=trainer', 'node_label=gpu.kind=h100', 'node_label=rack=7'])
  config_map, job_set = yaml.safe_load_all(jobset.manifest(launches.nodes(), launches.IMAGE, cluster))
  assert config_map['metadata']['namespace'] == job_set['metadata']['namespace'] == 'lab'
  assert job_set['metadata']['labels']['kueue.x-k8s.io/queue-name'] == 'research'
  pod = job_set['spec']['replicatedJobs'][0]['template']['spec']['template']['spec']
  assert pod['serviceAccountName'] == 'trainer' and pod['nodeSelector'] == {'gpu.kind': 'h100', 'rack': '7'}
  tpus = jobset.job_set(launches.slices(), launches.IMAGE, cluster)['spec']['replicatedJobs'][0]['template']['spec']['template']['spec']
  assert tpus['nodeSelector'].keys() > {'rack', 'cloud.google.com/gke-tpu-topology', 'cloud.google.com/gke-spot'}


if __name__ == '__main__':
  GOLDEN.mkdir(exist_ok=True)
  for file, text in made().items():
    (GOLDEN / file).write_text(text)
