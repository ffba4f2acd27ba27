"""What cannot work on machines elsewhere is refused before anything starts there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from codemix import cli
from codemix.commands import launch_checks, launch_remote
from codemix.errors import StorageUnavailable
from codemix.launch.xla_flags import SETS
from tests.launch.test_launches import ran

GIN = """
include 'recipes/balanced_to_text.gin'
include 'parts/places.gin'
"""
PLACES = "Data.directory = 'gs://bucket/data'\nRuntime.output = 'gs://bucket/runs/a'\n"
TPU = ('--topology=v5e:16x16', '--gin_file=my.gin', '--name=my')
JOBSET = ('jobset', '--image=i:1', *TPU)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
  """A working folder with gin files, on a machine without any engine."""
  (tmp_path / 'parts').mkdir()
  (tmp_path / 'my.gin').write_text(GIN)
  (tmp_path / 'parts' / 'places.gin').write_text(PLACES)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('PATH', str(tmp_path))
  monkeypatch.delenv('CODEMIX_DATA_DIR', raising=False)
  monkeypatch.setattr(launch_remote, 'require_ready', lambda experiment, directory: None)  # there is no such bucket
  return tmp_path


def launch(*words: str) -> tuple[int, str, str]:
  with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    code = cli.main(['launch', *words])
  return code, out.getvalue(), err.getvalue()


def script_of(manifest: str) -> str:
  return next(yaml.safe_load_all(manifest))['data']['run.sh']


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    ((*JOBSET, "--gin.Runtime.output='runs/a'"), "Runtime.output is 'runs/a', a folder of this machine; the machines that train do not see it. Bind a bucket: --gin.Runtime.output="),
    ((*JOBSET, "--gin.Data.directory='/data'"), "Data.directory is '/data', a folder of this machine"),
    ((*JOBSET, '--gin.Data.directory=None'), 'Data.directory is not bound'),
    ((*JOBSET, "--gin.Data.tokenizer='/data/tokenizer.json'"), "Data.tokenizer is '/data/tokenizer.json', a folder of this machine"),
    ((*JOBSET, "--gin.Recipe.start='/home/me/stage'"), "Recipe.start is '/home/me/stage', a folder of this machine"),
    ((*JOBSET, '--option=--priority=high'), "--option is '--priority=high'; for jobset it is namespace=NAME, queue=NAME"),
    ((*JOBSET, '--topology=v5e:16x17'), 'there is no such slice. The nearest is v5e:16x16'),
    ((*JOBSET, '--topology=cpu:8'), 'virtual CPU devices are for `codemix launch local`'),
    ((*JOBSET, '--slices=0'), '--slices is 0; it is a number from 1'),
    ((*JOBSET, '--nodes=2'), '--topology is for TPUs, --gpu, --nodes and --gpus_per_node for GPUs'),
    ((*JOBSET, '--cluster=c'), '--cluster is for `xpk`, not for jobset'),
    ((*JOBSET, '--keep'), '--keep is for `tpu_vm`, not for jobset'),
    ((*JOBSET, '--xla_flags=v5'), "--xla_flags is 'v5'; it is one of none, v4, v5e"),
    ((*JOBSET, '--name=A'), "--name is 'A'"),
    (('jobset', '--gin_file=my.gin', '--image=i:1'), 'codemix launch jobset needs --topology, such as --topology=v5e:16x16, or --gpu, --nodes and --gpus_per_node'),
    (('jobset', '--gin_file=my.gin', '--image=i:1', '--gpu=h100'), '--gpu needs --nodes and --gpus_per_node'),
    (('jobset', *TPU), 'codemix launch jobset needs --image'),
    (('xpk', *TPU, '--image=i:1'), 'codemix launch xpk needs --cluster'),
    (('tpu_vm', *TPU), 'codemix launch tpu_vm needs --zone'),
    (('tpu_vm', *TPU, '--zone=z', '--secret=NOT_SET_HERE'), '--secret=NOT_SET_HERE: this variable is not set here'),
    (('tpu_vm', *TPU, '--zone=z', '--package=no.whl'), '--package=no.whl does not exist'),
    (('tpuvm', *TPU), "Did you mean 'tpu_vm'?"),
    (('skypilot', *TPU, '--image=i:1', '--package=codemix'), '--image has codemix, and --package installs it: give one of them'),
    (('skypilot', *TPU, '--package=no.whl'), '--package=no.whl does not exist'),
    (('local', '--processes=2', '--cpu_devices=1', '--spot', '--gin_file=my.gin'), '--spot is for `tpu_vm`, `xpk`, `jobset` and `skypilot`, not for local'),
    (JOBSET, 'there is no kubectl on this machine: print the manifest with --dry_run'),
    (('xpk', *TPU, '--image=i:1', '--cluster=c'), 'there is no xpk on this machine: install it with `pip install xpk`'),
    (('skypilot', *TPU, '--image=i:1'), 'there is no sky on this machine'),
  ],
)
def test_mistakes_are_one_line_with_what_to_change(words, message, folder):
  code, out, err = launch(*words)
  lines = [line for line in err.splitlines() if not line.startswith('warning: ')]
  assert code == 2 and out == '' and len(lines) == 1 and message in lines[0], err


def test_a_file_outside_of_the_working_folder_is_named(folder, tmp_path_factory):
  (elsewhere := tmp_path_factory.mktemp('elsewhere') / 'other.gin').write_text('Recipe.seed = 1\n')
  code, _, err = launch(*JOBSET, f'--gin_file={elsewhere}', '--dry_run')
  assert code == 2 and f'{elsewhere} is outside of the working folder' in err


def test_files_are_sent_with_those_that_they_include_and_found_there(folder, tmp_path, monkeypatch):
  (folder / 'configs').mkdir()
  (folder / 'configs' / 'seed.gin').write_text('Recipe.seed = 1\n')
  code, out, err = launch('jobset', '--image=i:1', '--topology=v5e:16x16', f'--gin_file={folder}/my.gin', '--gin_file=seed.gin', f'--gin_search_paths={folder}/configs', '--dry_run')
  assert code == 0, err
  monkeypatch.setenv('PATH', os.defpath)
  words, files, _ = ran(script_of(out), tmp_path / 'machine')
  assert words == ['-m', 'codemix', 'study', '--gin_file=my.gin', '--gin_file=seed.gin', '--gin_search_paths=configs']
  assert files == {'my.gin': GIN, 'parts/places.gin': PLACES, 'configs/seed.gin': 'Recipe.seed = 1\n'}


def test_a_data_folder_of_the_environment_goes_along(folder, monkeypatch):
  (folder / 'parts' / 'places.gin').write_text("Runtime.output = 'gs://bucket/runs/a'\n")
  monkeypatch.setenv('CODEMIX_DATA_DIR', 'gs://bucket/data')
  code, out, err = launch(*JOBSET, '--dry_run')
  assert code == 0 and 'export CODEMIX_DATA_DIR=gs://bucket/data\n' in script_of(out), err


@pytest.mark.parametrize(
  ('words', 'flags'),
  [((), 'v5e'), (('--slices=2',), 'v5e_slices'), (('--xla_flags=v6e',), 'v6e'), (('--xla_flags=none',), None)],
)
def test_compiler_flags_are_those_of_the_machines_unless_named(words, flags, folder):
  code, out, err = launch(*JOBSET, *words, '--dry_run')
  assert code == 0, err
  exported = [line for line in script_of(out).splitlines() if line.startswith('export ')]
  assert exported == ([f'export LIBTPU_INIT_ARGS={shlex.quote(SETS[flags].value)}'] if flags else [])


def test_a_dry_run_of_tpu_vms_prints_files_and_commands_and_no_secret(folder, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'hf_123')
  code, out, err = launch('tpu_vm', *TPU, '--zone=z', '--spot', '--secret=HF_TOKEN', '--dry_run')
  assert code == 0, err
  commands = [shlex.split(line) for line in out.splitlines() if line.startswith('gcloud ')]
  assert [words[4] for words in commands] == ['create', 'describe', 'ssh', 'scp', 'ssh', 'ssh', 'ssh', 'ssh', 'delete']
  assert 'FOLDER/secrets' in commands[3] and 'hf_123' not in out + err
  for name in ('setup.sh', 'worker.sh', 'constraints.txt'):
    assert f'# {name}\n' in out
  assert '\njax==' in out and not list(folder.glob('logs*'))


def test_a_dry_run_of_a_jobset_is_a_manifest_alone(folder):
  code, out, _ = launch(*JOBSET, '--dry_run')
  assert code == 0 and [document['kind'] for document in yaml.safe_load_all(out)] == ['ConfigMap', 'JobSet']


KUBECTL = """#!{python} -S
import json, pathlib, sys
here = pathlib.Path({here!r})
verb, *words = [word for word in sys.argv[1:] if not word.startswith('--namespace')]
with open(here / 'calls', 'a') as calls:
  print(*sys.argv[1:], file=calls)
if (here / 'refuse').exists():
  sys.exit('no such cluster')
if verb == 'get':
  print((here / 'jobset').read_text() if (here / 'jobset').exists() else '', end='')
elif verb == 'apply':
  (here / 'applied').write_text(sys.stdin.read())
elif verb == 'delete':
  (here / 'jobset').unlink()
"""


@pytest.fixture
def kubectl(folder) -> Path:
  """A stand-in for kubectl, whose cluster is a file `jobset`."""
  (folder / 'kubectl').write_text(KUBECTL.format(python=sys.executable, here=str(folder)))
  (folder / 'kubectl').chmod(0o755)
  return folder


def in_cluster(kubectl: Path, *conditions: dict, **metadata: object) -> None:
  """Makes what was applied the cluster's JobSet, as the cluster gives it back: with fields of its own, and a status."""
  [_, job_set] = yaml.safe_load_all((kubectl / 'applied').read_text())
  job_set['metadata'] |= {'uid': 'f0', 'generation': 1, **metadata}
  job_set['spec'] |= {'network': {'enableDNSHostnames': True}, 'suspend': False}
  job_set['status'] = {'restarts': 3, 'conditions': list(conditions)}
  (kubectl / 'jobset').write_text(json.dumps(job_set))
  (kubectl / 'applied').unlink()
  (kubectl / 'calls').unlink()


def verbs(kubectl: Path) -> list[str]:
  return [line.split()[0] for line in (kubectl / 'calls').read_text().splitlines()]


def test_kubectl_gets_the_manifest_and_its_refusal_is_shown(kubectl):
  code, out, _ = launch(*JOBSET)
  assert code == 0 and 'kubectl logs' in out and verbs(kubectl) == ['get', 'apply']
  assert (kubectl / 'applied').read_text() == launch(*JOBSET, '--dry_run')[1]
  (kubectl / 'refuse').touch()
  code, _, err = launch(*JOBSET)
  assert code == 1 and '`kubectl get jobsets` ended with exit code 1: no such cluster' in err


@pytest.mark.parametrize(
  ('condition', 'said'),
  [
    ({'type': 'Failed', 'status': 'True', 'reason': 'ReachedMaxRestarts', 'message': 'jobset failed due to reaching max number of restarts'}, 'has failed (ReachedMaxRestarts: jobset failed due to'),
    ({'type': 'Completed', 'status': 'True', 'reason': 'AllJobsCompleted', 'message': ''}, 'has completed (AllJobsCompleted)'),
  ],
)
@pytest.mark.parametrize('change', [(), ('--gin.Recipe.seed=7',)], ids=['same', 'other flags'])
def test_the_same_command_starts_a_jobset_again_that_has_ended(condition, said, change, kubectl):
  launch(*JOBSET)
  in_cluster(kubectl, {'type': 'Suspended', 'status': 'False'}, condition)
  code, out, err = launch(*JOBSET, *change)
  assert code == 0 and said in err and 'starts again' in err and 'is at work already' not in out
  assert verbs(kubectl) == ['get', 'delete', 'apply'] and '--cascade=foreground' in (kubectl / 'calls').read_text()
  assert (kubectl / 'applied').read_text() == launch(*JOBSET, *change, '--dry_run')[1]


def test_a_jobset_that_is_at_work_is_left_alone(kubectl):
  launch(*JOBSET)
  in_cluster(kubectl, {'type': 'Failed', 'status': 'False', 'reason': 'x', 'message': ''})
  code, out, _ = launch(*JOBSET)
  assert code == 0 and 'is at work already, and nothing was started' in out and verbs(kubectl) == ['get']


@pytest.mark.parametrize('change', ['--gin.Recipe.seed=7', '--restarts=3', '--image=i:2', '--spot'])
def test_another_run_does_not_touch_a_jobset_that_is_at_work(change, kubectl):
  launch(*JOBSET)
  in_cluster(kubectl)
  code, out, err = launch(*JOBSET, change)
  assert code == 2 and out == '' and verbs(kubectl) == ['get']
  assert 'is at work with other gin files, flags, versions or another image' in err and 'kubectl delete jobsets,configmaps --selector=codemix/run=my' in err


def test_a_jobset_that_goes_is_waited_for(kubectl):
  launch(*JOBSET)
  in_cluster(kubectl, deletionTimestamp='2026-11-30T10:00:00Z')
  assert launch(*JOBSET)[0] == 0 and verbs(kubectl) == ['get', 'delete', 'apply']


def test_a_jobset_of_others_is_never_deleted(kubectl):
  launch(*JOBSET)
  in_cluster(kubectl, {'type': 'Completed', 'status': 'True'}, labels={})
  code, _, err = launch(*JOBSET)
  assert code == 2 and '`codemix launch` did not start' in err and verbs(kubectl) == ['get']


def test_every_call_of_kubectl_names_the_namespace(kubectl):
  launch(*JOBSET, '--option=namespace=lab')
  in_cluster(kubectl, {'type': 'Completed', 'status': 'True'})
  code, out, _ = launch(*JOBSET, '--option=namespace=lab')
  assert code == 0 and 'kubectl --namespace=lab logs' in out
  assert all(line.startswith('--namespace=lab ') for line in (kubectl / 'calls').read_text().splitlines())


XPK = """#!/bin/sh
echo "$@" >> "{here}/calls"
case $2 in
  list)
    echo '[XPK] Workload List Output:'
    echo 'Jobset Name   Created Time   Priority   TPU/GPU VMs Needed   TPU/GPU VMs Running/Ran   TPU/GPU VMs Done   Status     Status Message   Status Time'
    [ ! -e "{here}/status" ] || echo "my            2026           medium     64                   64                        64                 $(/bin/cat "{here}/status")   <none>           2026"
    ;;
  delete) /bin/rm "{here}/status" ;;
  create) [ ! -e "{here}/status" ] || exit 1 ;;
esac
"""


@pytest.mark.parametrize(('status', 'code', 'called'), [('', 0, ['list', 'create']), ('Finished', 0, ['list', 'delete', 'list', 'create']), ('Admitted', 2, ['list'])])
def test_a_workload_of_xpk_is_replaced_only_when_it_has_finished(status, code, called, folder):
  (folder / 'xpk').write_text(XPK.format(here=folder))
  (folder / 'xpk').chmod(0o755)
  if status:
    (folder / 'status').write_text(status)
  ended, _, err = launch('xpk', *TPU, '--image=i:1', '--cluster=c', '--zone=z', '--option=--priority=high')
  calls = [line.split() for line in (folder / 'calls').read_text().splitlines()]
  assert ended == code and [words[1] for words in calls] == called, err
  assert all(('--priority=high' in words) == (words[1] == 'create') and '--zone=z' in words for words in calls)
  assert ('whose status is Admitted, and XPK does not tell what it runs' in err) == (status == 'Admitted')


SKY = """#!/bin/sh
case $2 in
  queue) echo 'Checking managed jobs'; /bin/cat "{here}/queue" || exit 1 ;;
  launch) echo "$@" > "{here}/launched"; for file; do :; done; /bin/cat "$file" > "{here}/task" ; folder=$(/bin/sed -n 's/^  ~.codemix: //p' "$file"); /bin/cp -r "$folder" "{here}/sent" ;;
esac
"""


@pytest.fixture
def sky(folder) -> Path:
  """A stand-in for SkyPilot, which keeps what it is to send."""
  (folder / 'sky').write_text(SKY.format(here=folder))
  (folder / 'sky').chmod(0o755)
  return folder


def test_skypilot_gets_the_wheel_and_the_versions_that_every_recovery_installs(sky):
  (sky / 'codemix-9-py3-none-any.whl').write_bytes(b'wheel')
  (sky / 'queue').write_text('[]\n')
  code, _, err = launch('skypilot', *TPU, '--package=codemix-9-py3-none-any.whl')
  assert code == 0, err
  task = yaml.safe_load((sky / 'task').read_text())
  assert task['setup'] == f'bash ~/codemix/setup.sh {sys.version_info.major}.{sys.version_info.minor} \'./codemix-9-py3-none-any.whl[tpu,gcs]\'\n'
  assert {path.name for path in (sky / 'sent').iterdir()} == {'setup.sh', 'constraints.txt', 'codemix-9-py3-none-any.whl'}
  assert '\njax==' in (sky / 'sent' / 'constraints.txt').read_text()


@pytest.mark.parametrize(
  ('queue', 'code', 'said'),
  [('[{"job_name": "my", "status": "RUNNING"}]', 2, 'a managed job my has not ended'), ('[{"job_name": "my-2"}]', 0, ''), (None, 0, 'SkyPilot does not say'), ('No jobs.', 0, 'SkyPilot does not say')],
)
def test_a_second_job_of_skypilot_is_not_started_beside_the_first(queue, code, said, sky):
  if queue is not None:
    (sky / 'queue').write_text(f'{queue}\n')
  ended, _, err = launch('skypilot', *TPU, '--package=codemix')
  assert ended == code and said in err and (sky / 'launched').exists() == (code == 0)


def test_data_that_are_not_prepared_are_found_before_machines_are_asked_for(kubectl, monkeypatch):
  monkeypatch.setattr(launch_remote, 'require_ready', launch_checks.require_ready)
  monkeypatch.setattr('codemix.studies.preparation.missing', lambda study, data: [('text', 'train'), ('code', 'validation')])
  code, _, err = launch(*JOBSET)
  assert code == 2 and not (kubectl / 'calls').exists()
  assert 'not prepared in gs://bucket/data: text (train), code (validation). Run `codemix prepare --gin_file=my.gin` first' in err
  assert launch(*JOBSET, '--dry_run')[0] == 0  # needs no bucket


@pytest.mark.parametrize('error', [StorageUnavailable('gs://bucket/data does not answer.'), PermissionError('403 Forbidden')])
def test_a_bucket_that_cannot_be_read_from_here_is_a_warning(error, kubectl, monkeypatch):
  def unreadable(study, data):
    raise error

  monkeypatch.setattr(launch_remote, 'require_ready', launch_checks.require_ready)
  monkeypatch.setattr('codemix.studies.preparation.missing', unreadable)
  code, _, err = launch(*JOBSET)
  assert code == 0 and verbs(kubectl) == ['get', 'apply']
  assert 'warning: it is not known whether the data are prepared, since gs://bucket/data cannot be read from here' in err


@pytest.mark.parametrize(('where', 'cache', 'warned'), [('jobset', "'/tmp/compiled'", True), ('jobset', 'None', True), ('jobset', "'gs://bucket/compiled'", False), ('skypilot', "'/tmp/compiled'", False)])
def test_programs_that_go_with_the_container_are_warned_of(where, cache, warned, folder):
  code, _, err = launch(where, '--image=i:1', *TPU, f'--gin.Runtime.compilation_cache={cache}', '--dry_run')
  assert code == 0 and ('warning: Runtime.compilation_cache' in err) == warned, err


def test_the_exit_code_of_an_engine_is_reported(folder):
  (folder / 'xpk').write_text('#!/bin/sh\n[ "$2" = create ] && exit 3\necho "Jobset Name   Status"\n')
  (folder / 'xpk').chmod(0o755)
  code, _, err = launch('xpk', *TPU, '--image=i:1', '--cluster=c')
  assert code == 1 and '`xpk workload create` ended with exit code 3' in err
  assert subprocess.run(['/bin/bash', '-n'], input=launch('xpk', *TPU, '--image=i:1', '--cluster=c', '--dry_run')[1], text=True, check=False).returncode == 0
