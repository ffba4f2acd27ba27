"""What cannot work on machines elsewhere is refused before anything starts there."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from codemix import cli
from codemix.launch.xla_flags import SETS
from tests.launch.test_launches import ran

GIN = """
include 'recipes/balanced_to_text.gin'
include 'parts/places.gin'
"""
PLACES = "Data.directory = 'gs://bucket/data'\nRuntime.output = 'gs://bucket/runs/a'\n"
TPU = ('--topology=v5e:16x16', '--gin_file=my.gin')
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
    (('skypilot', *TPU), 'needs --image, or --package'),
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


def test_kubectl_gets_the_manifest_and_its_refusal_is_shown(folder):
  program = folder / 'kubectl'
  program.write_text(f'#!/bin/sh\necho "$@" > "{folder}/words"\n/bin/cat > "{folder}/applied"\n[ ! -e "{folder}/refuse" ] || {{ echo "no such cluster" >&2; exit 1; }}\n')
  program.chmod(0o755)
  code, out, _ = launch(*JOBSET)
  assert code == 0 and 'kubectl logs' in out and (folder / 'words').read_text() == 'apply --filename=-\n'
  assert (folder / 'applied').read_text() == launch(*JOBSET, '--dry_run')[1]
  (folder / 'refuse').touch()
  code, _, err = launch(*JOBSET)
  assert code == 1 and 'kubectl refuses the manifest: no such cluster' in err


def test_the_exit_code_of_an_engine_is_reported(folder):
  (folder / 'xpk').write_text('#!/bin/sh\nexit 3\n')
  (folder / 'xpk').chmod(0o755)
  code, _, err = launch('xpk', *TPU, '--image=i:1', '--cluster=c')
  assert code == 1 and '`xpk workload create` ended with exit code 3' in err
  assert subprocess.run(['/bin/bash', '-n'], input=launch('xpk', *TPU, '--image=i:1', '--cluster=c', '--dry_run')[1], text=True, check=False).returncode == 0
