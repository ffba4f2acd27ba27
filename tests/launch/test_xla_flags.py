"""Each named set is one that the compilers take; a name that they do not know ends them."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from codemix import cli
from codemix.launch.accelerators import GPUS, TPUS
from codemix.launch.slurm import SlurmJob
from codemix.launch.xla_flags import SETS
from tests.test_docs import sections, table

ROOT = Path(__file__).resolve().parents[2]
COMPILED = """
import jax, jax.numpy as jnp
from codemix.parallel.topology import parse_topology, topology_devices
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import sys
mesh = Mesh(topology_devices(parse_topology(sys.argv[1])), 'fsdp')
of = lambda *names: jax.ShapeDtypeStruct((256, 256), jnp.bfloat16, sharding=NamedSharding(mesh, P(*names)))
print(jax.jit(jnp.matmul).lower(of('fsdp'), of(None, 'fsdp')).compile().as_text()[:9])
"""


def compiled(variable: str, value: str, chip: str) -> subprocess.CompletedProcess:
  """A product of sharded matrices, compiled for 8 chips of a kind; 'cpu' only reads the flags, of GPUs too."""
  topology = {'cpu': 'cpu:1', 'v4': 'v4:2x2x2', 'v5p': 'v5p:2x2x2'}.get(chip, f'{chip}:2x4')
  environment = {name: kept for name, kept in os.environ.items() if name not in ('XLA_FLAGS', 'LIBTPU_INIT_ARGS')}
  environment |= {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]), variable: value}
  return subprocess.run([sys.executable, '-c', COMPILED, topology], env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize('value', sorted({SETS[name].value for name in GPUS}))
def test_jaxlib_knows_the_flags_of_gpus(value):
  ended = compiled('XLA_FLAGS', value, 'cpu')
  assert ended.returncode == 0 and ended.stdout.startswith('HloModule'), ended.stderr
  assert compiled('XLA_FLAGS', f'{value} --xla_gpu_no_such_flag=true', 'cpu').returncode != 0


@pytest.mark.skipif(importlib.util.find_spec('libtpu') is None, reason='libtpu is not installed')
@pytest.mark.parametrize('name', [name for name in SETS if SETS[name].variable == 'LIBTPU_INIT_ARGS'])
def test_the_tpu_compiler_takes_each_set(name):
  ended = compiled('LIBTPU_INIT_ARGS', SETS[name].value, name.partition('_')[0])
  assert ended.returncode == 0 and ended.stdout.startswith('HloModule'), ended.stderr[-2000:]


@pytest.mark.skipif(importlib.util.find_spec('libtpu') is None, reason='libtpu is not installed')
def test_the_tpu_compiler_refuses_a_flag_that_it_does_not_know():
  assert compiled('LIBTPU_INIT_ARGS', f'{SETS["v5e"].value} --xla_tpu_no_such_flag=true', 'v5e').returncode != 0


def launched(where: str, *words: str, monkeypatch, capsys) -> tuple[int, str, str]:
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1')
  monkeypatch.setenv('XLA_FLAGS', '--xla_cpu_enable_fast_math=false')
  code = cli.main(['launch', where, '--gin_file=studies/quickstart.gin', '--dry_run', *words])
  return code, *capsys.readouterr()


def test_gpus_of_this_machine_get_the_set_that_is_named_and_none_else(monkeypatch, capsys):
  code, out, _ = launched('local', '--xla_flags=h100', monkeypatch=monkeypatch, capsys=capsys)
  studies = [shlex.split(line) for line in out.splitlines() if ' study ' in line]
  assert code == 0 and len(studies) == 2
  assert all(f'XLA_FLAGS=--xla_cpu_enable_fast_math=false {SETS["h100"].value}' in words for words in studies)
  for none in ((), ('--xla_flags=none',)):
    code, out, _ = launched('local', *none, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0 and 'XLA_FLAGS' not in out


@pytest.mark.parametrize('words', [('--xla_flags=v5e',), ('--xla_flags=h100', '--processes=1', '--cpu_devices=1')])
def test_a_set_that_the_devices_do_not_read_is_refused(words, monkeypatch, capsys):
  code, _, err = launched('local', *words, monkeypatch=monkeypatch, capsys=capsys)
  assert code == 2 and 'sets flags of GPUs only, a100, h100, h200, b200 or none, and none with --cpu_devices' in err


def test_a_job_of_slurm_adds_the_set_to_the_flags_of_its_environment():
  job = SlurmJob(('--gin_file=a.gin',), Path('/runs'), Path('/work'), nodes=2, time='1:00:00', gpus_per_node=8)
  assert 'XLA_FLAGS' not in job.training
  line = next(line for line in dataclasses.replace(job, xla_flags='h100').training.splitlines() if 'XLA_FLAGS' in line)
  ended = subprocess.run(['bash', '-euc', f'{line}\necho "$XLA_FLAGS"'], env={**os.environ, 'XLA_FLAGS': '--mine'}, capture_output=True, text=True, check=True)
  assert ended.stdout == f'--mine {SETS["h100"].value}\n'


def test_every_machine_has_its_set_and_every_flag_is_explained():
  assert SETS.keys() == {*TPUS, *(f'{chip}_slices' for chip in TPUS), *GPUS}
  for found in SETS.values():
    assert len({flag.text.partition('=')[0] for flag in found.flags}) == len(found.flags)
    assert all(re.fullmatch(r'--xla_\w+=\w+', flag.text) and flag.purpose and set(flag.source.split('; ')) <= {'JAX', 'MaxText TPU', 'MaxText GPU'} for flag in found.flags)


def test_the_page_has_every_set_flag_and_purpose():
  rows = table(sections(ROOT / 'docs' / 'pods.md')['Compiler flags'])
  told = {(name, row['flag'].strip('`'), row['for'], row['read in']) for row in rows for name in re.findall(r'`(\w+)`', row['sets'])}
  assert told == {(name, flag.text, flag.purpose, flag.source) for name, found in SETS.items() for flag in found.flags}
