"""A run on Cloud TPU VMs goes on after everything that a new start helps against, on a stand-in for gcloud."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codemix import cli
from codemix.launch.tpu_vm import TpuVm
from tests.faults import runs
from tests.launch import launches
from tests.launch.tpu_cloud import TpuCloud

GIN = """
include 'recipes/balanced_to_text.gin'
Data.directory = 'gs://bucket/data'
Runtime.output = 'gs://bucket/runs/a'
"""
# gcloud and the machines are asked without a pause.
LAUNCH = """
import sys
from codemix import cli
from codemix.commands import launch_remote
from codemix.launch import tpu_vm_run
tpu_vm_run.POLL_S = 0.1
launch_remote.require_ready = lambda experiment, directory: None  # there is no such bucket
sys.exit(cli.main(sys.argv[1:]))
"""
FLAGS = ('--topology=v5e:2x4', '--zone=us-west4-a', '--package=codemix[tpu,gcs]==0.1.0', '--name=a', '--gin_file=my.gin')


@pytest.fixture
def folder(tmp_path) -> Path:
  (tmp_path / 'work').mkdir()
  (tmp_path / 'work' / 'my.gin').write_text(GIN)
  return tmp_path / 'work'


def start(cloud: TpuCloud, folder: Path, *words: str) -> subprocess.Popen:
  environment = {**cloud.environment, 'PYTHONPATH': str(runs.ROOT)}
  words = (sys.executable, '-c', LAUNCH, 'launch', 'tpu_vm', *FLAGS, *words)
  return subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def launch(cloud: TpuCloud, folder: Path, *words: str) -> subprocess.CompletedProcess:
  """In this process, where nothing ends the launcher."""
  with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
    patch.chdir(folder)
    patch.setattr('codemix.launch.tpu_vm_run.POLL_S', 0.1)
    patch.setattr('codemix.commands.launch_remote.require_ready', lambda experiment, directory: None)
    for name, value in cloud.environment.items():
      patch.setenv(name, value)
    code = cli.main(['launch', 'tpu_vm', *FLAGS, *words])
  return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


PREPARED = ['ssh', 'scp', 'ssh']  # the folder, the files, the environment
TRAINED = ['ssh', 'ssh', 'ssh']  # start, follow, end


def test_a_run_that_nothing_disturbs_leaves_logs_and_no_machines(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0])
  ended = launch(cloud, folder)
  assert ended.returncode == 0, ended.stderr
  assert cloud.verbs() == ['create', *PREPARED, *TRAINED, 'delete']
  assert not (cloud.root / 'state').exists() and not list(cloud.root.glob('machine-*'))
  assert '[0] start 0 on machine 0' in ended.stderr and 'WAITING_FOR_RESOURCES' in ended.stderr
  assert {log.name: log.read_text() for log in (folder / 'logs-a').iterdir()} == {f't1v-machine-{k}.log': f'start 0 on machine {k}\n' for k in (0, 1)}
  assert [begun['words'] for begun in cloud.starts()] == [['study', '--gin_file=my.gin']] * 2
  assert all(begun['files'] == {'my.gin': GIN} and '--xla_tpu' in begun['variables']['LIBTPU_INIT_ARGS'] for begun in cloud.starts())


def test_preemptions_and_lost_processes_start_again_and_a_lost_machine_is_replaced(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [75, [76, 137], 'taken', 0])
  ended = launch(cloud, folder, '--restarts=3')
  assert ended.returncode == 0, ended.stderr
  again = [*PREPARED, *TRAINED]
  assert cloud.verbs() == ['create', *again, *again, *PREPARED, 'ssh', 'ssh', 'delete', 'create', *again, 'delete']
  assert 'exit code 75: the run starts again' in ended.stderr and 'the machines were taken away: the run starts again' in ended.stderr
  assert 'machine-1: exit code 137' in ended.stderr
  assert len((cloud.root / 'installs').read_text().splitlines()) == 4  # once on each machine
  assert (folder / 'logs-a' / 't1v-machine-1.log').read_text() == ''.join(f'start {k} on machine 1\n' for k in (0, 1, 3))


def test_preemptions_are_no_failures(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [75, 'taken', 76, 75, 0])
  ended = launch(cloud, folder, '--restarts=1')
  assert ended.returncode == 0, ended.stderr
  assert len(cloud.starts()) == 10 and 'exit code 76: the run starts again, and resumes from the last checkpoint (1 of 1 failures' in ended.stderr


def test_a_spot_slice_that_is_lost_before_it_is_ready_is_asked_for_again(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0], states=('WAITING_FOR_RESOURCES', 'PROVISIONING', 'SUSPENDING', 'SUSPENDED'), lost=2)
  ended = launch(cloud, folder, '--restarts=0')
  assert ended.returncode == 0, ended.stderr
  assert cloud.verbs() == ['create', 'delete', 'create', 'delete', 'create', *PREPARED, *TRAINED, 'delete']


def test_machines_that_vanish_with_their_connections_open_are_replaced(folder, tmp_path):
  """Nothing ends the command that follows the log."""
  cloud = TpuCloud(tmp_path / 'cloud', ['vanished', 0])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr('codemix.launch.tpu_vm_run.WATCH_S', 0.2)
    ended = launch(cloud, folder, '--restarts=0')
  assert ended.returncode == 0, ended.stderr
  assert cloud.verbs() == ['create', *PREPARED, 'ssh', 'ssh', 'delete', 'create', *PREPARED, *TRAINED, 'delete']


def test_a_command_of_gcloud_that_does_not_end_is_ended(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0], hangs='scp')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr('codemix.launch.tpu_vm_run.COMMAND_S', 3)
    ended = launch(cloud, folder)
  assert ended.returncode == 1 and 'queued-resources scp' in ended.stderr and 'ended after 0.05 minutes' in ended.stderr
  assert 'Machines are not deleted' in ended.stderr


def test_machines_that_go_while_they_are_prepared_are_replaced_though_they_are_active_for_a_while(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0], leaves='scp')
  ended = launch(cloud, folder, '--restarts=0')
  assert ended.returncode == 0, ended.stderr
  assert cloud.verbs() == ['create', 'ssh', 'scp', 'delete', 'create', *PREPARED, *TRAINED, 'delete']


def test_lines_of_the_log_are_shown_once_though_gcloud_follows_it_twice(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0], repeats='follow')
  ended = launch(cloud, folder)
  assert ended.returncode == 0 and ended.stderr.count('[0] start 0 on machine 0') == 1 and 'codemix-from' not in ended.stderr


def test_every_connection_notices_that_its_other_end_is_gone():
  vms = TpuVm(launches.slices(), 'z')
  for words in vms.whole('codemix', '3.12', []):
    if words[4] in ('ssh', 'scp'):
      assert {f'--{words[4]}-flag=-o{option}' for option in ('ConnectTimeout=30', 'ServerAliveInterval=30', 'ServerAliveCountMax=4')} <= set(words)


def test_a_mistake_of_the_user_is_never_tried_again_and_keeps_no_machines(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [[2, 76]])
  ended = launch(cloud, folder)
  assert ended.returncode == 2 and 'starts again' not in ended.stderr
  assert cloud.verbs() == ['create', *PREPARED, *TRAINED, 'delete']


def test_starts_are_bounded(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [76, 76, 76])
  ended = launch(cloud, folder, '--restarts=1')
  assert ended.returncode == 76 and 'the run has failed 2 times, and --restarts is 1' in ended.stderr
  assert len(cloud.starts()) == 4


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_when_the_launcher_is_asked_to_stop_all_machines_save_and_go(number, folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', ['save'])
  launched = start(cloud, folder)
  cloud.wait('starts', 2)
  launched.send_signal(number)
  ended = runs.finish(launched)
  assert ended.returncode == 75 and 'starts again' not in ended.stderr, ended.stderr
  assert cloud.calls()[-3][-1] == '--command=cd codemix-a && bash worker.sh stop' and cloud.verbs()[-1] == 'delete'


def test_ctrl_c_while_it_waits_for_machines_gives_up_the_request(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0], states=('WAITING_FOR_RESOURCES',) * 10_000)
  launched = start(cloud, folder)
  cloud.wait('calls', 4)
  launched.send_signal(signal.SIGINT)
  assert runs.finish(launched).returncode == 76 and cloud.verbs() == ['create', 'delete']


def test_a_launcher_that_was_killed_is_replaced_without_a_second_start(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', ['save', 0])
  launched = start(cloud, folder)
  cloud.wait('starts', 2)
  launched.kill()
  runs.finish(launched)
  again = start(cloud, folder)
  cloud.wait('calls', len(cloud.calls()) + 6)
  other = launch(cloud, folder, '--gin.Recipe.seed=7')
  assert other.returncode == 2 and 'another run is in progress on t1v-machine-0' in other.stderr
  assert 'Machines are not deleted' in other.stderr
  for pid in cloud.root.glob('machine-*/codemix-a/pid'):
    os.kill(int(pid.read_text()), signal.SIGTERM)
  ended = runs.finish(again)
  assert ended.returncode == 0, ended.stderr
  assert cloud.verbs().count('create') == 1 and len(cloud.starts()) == 4  # one start of the first launcher, one after 75


def test_a_start_that_gcloud_repeats_starts_nothing(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0])
  assert launch(cloud, folder, '--keep').returncode == 0
  repeated = next(call for call in cloud.calls() if 'worker.sh start' in call[-1])
  subprocess.run(['gcloud', *repeated], env=cloud.environment, check=True)
  assert len(cloud.starts()) == 2 and (cloud.root / 'state').exists()


def test_no_machines_to_be_had_is_reported_with_the_reason(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [], fails='Quota exceeded for TPUV5sLitepodPerProjectPerZone')
  ended = launch(cloud, folder)
  assert ended.returncode == 1 and 'Quota exceeded for TPUV5sLitepod' in ended.stderr and cloud.verbs() == ['create']


def test_secrets_reach_the_processes_and_no_command_line(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [0])
  cloud.environment['SECRET_TOKEN'] = value = "s3cr'et $(touch hacked)"
  ended = launch(cloud, folder, '--secret=SECRET_TOKEN', '--keep')
  assert ended.returncode == 0, ended.stderr
  assert [begun['variables']['SECRET_TOKEN'] for begun in cloud.starts()] == [value] * 2
  assert "s3cr'et" not in (cloud.root / 'calls').read_text() + ended.stderr + ended.stdout
  for home in cloud.root.glob('machine-*'):
    assert (home / 'codemix-a').stat().st_mode & 0o077 == 0 and not list(home.rglob('hacked'))


def test_without_gcloud_the_message_says_what_to_do(folder, tmp_path):
  cloud = TpuCloud(tmp_path / 'cloud', [])
  cloud.environment['PATH'] = str(tmp_path)
  ended = launch(cloud, folder)
  assert ended.returncode == 2 and 'there is no gcloud on this machine' in ended.stderr and 'Traceback' not in ended.stderr


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
@pytest.mark.parametrize('name', ['setup.sh', 'worker.sh'])
def test_shellcheck_finds_nothing_in_the_scripts(name):
  checked = subprocess.run(['shellcheck', runs.ROOT / 'codemix' / 'launch' / name], text=True, capture_output=True, check=False)
  assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_the_environment_is_made_of_the_requirement_at_the_versions_given_and_only_once(tmp_path):
  """With the real uv, and a small package in place of codemix."""
  (machine := tmp_path / 'machine').mkdir()
  shutil.copy(runs.ROOT / 'codemix' / 'launch' / 'setup.sh', machine)
  (machine / 'constraints.txt').write_text('packaging==24.2\n')
  certificates = '/etc/ssl/certs/ca-certificates.crt'  # of this machine's proxy, if it has one; uv brings its own
  environment = {**os.environ, 'HOME': str(tmp_path), **({'SSL_CERT_FILE': certificates} if Path(certificates).exists() else {})}
  set_up = ['bash', machine / 'setup.sh', f'{sys.version_info.major}.{sys.version_info.minor}', 'packaging']
  subprocess.run(set_up, env=environment, check=True)
  python = machine / 'env' / 'bin' / 'python3'
  version = subprocess.run([python, '-c', 'import packaging; print(packaging.__version__)'], capture_output=True, text=True, check=True)
  assert version.stdout == '24.2\n'
  made = python.lstat().st_mtime_ns
  subprocess.run(set_up, env=environment, check=True)
  assert python.lstat().st_mtime_ns == made
  (machine / 'constraints.txt').write_text('packaging==24.1\n')
  subprocess.run(set_up, env=environment, check=True)
  assert python.lstat().st_mtime_ns != made
