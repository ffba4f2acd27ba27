"""Each named set is one that the compilers take; a name that they do not know ends them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codemix.launch.accelerators import GPUS, TPUS
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


def test_every_machine_has_its_set_and_every_flag_is_explained():
  assert SETS.keys() == {*TPUS, *(f'{chip}_slices' for chip in TPUS), *GPUS}
  for found in SETS.values():
    assert len({flag.text.partition('=')[0] for flag in found.flags}) == len(found.flags)
    assert all(re.fullmatch(r'--xla_\w+=\w+', flag.text) and flag.purpose and set(flag.source.split('; ')) <= {'JAX', 'MaxText TPU', 'MaxText GPU'} for flag in found.flags)


def test_the_page_has_every_set_flag_and_purpose():
  rows = table(sections(ROOT / 'docs' / 'pods.md')['Compiler flags'])
  told = {(name, row['flag'].strip('`'), row['for'], row['read in']) for row in rows for name in re.findall(r'`(\w+)`', row['sets'])}
  assert told == {(name, flag.text, flag.purpose, flag.source) for name, found in SETS.items() for flag in found.flags}
