"""What does not divide over the devices is found before the first step, with what would."""

from __future__ import annotations

import dataclasses

import pytest

from codemix.errors import UserError
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import ShardingRules
from codemix.training.preflight import check_layout
from codemix.training.runtime import Runtime

MODEL = ModelConfig(64, layers=1, width=16, ffn_width=32, heads=4, head_dim=4, kv_heads=2)
FITS = {'model': MODEL, 'batch': 16, 'length': 32, 'mesh': MeshConfig(), 'runtime': Runtime()}


def check(**changed) -> None:
  asked = {**FITS, **changed}
  check_layout(**{**asked, 'mesh': make_mesh(asked['mesh'])}, where="stage 'a'")


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'batch': 12}, r"stage 'a': a batch of 12 rows .* 8 devices \(replica x data x fsdp\)\. Set Stage.batch to 8 or 16"),
    ({'batch': 4}, 'Set Stage.batch to 8, or'),
    ({'runtime': Runtime(microbatches=3)}, r'8 devices .* x 3 microbatches. Set Stage.batch to 24, or change Runtime.mesh or Runtime.microbatches'),
    ({'length': 34, 'mesh': MeshConfig(data=2, sequence=4)}, 'rows of 34 tokens .* 4 devices .* MeshConfig.sequence to one of 1, 2'),
    ({'mesh': MeshConfig(data=2, tensor=4)}, "stage 'a': .*'kv_heads' of size 2 .* 4 devices .*tensor.*make that 1 or 2, or set ShardingRules.kv_heads to None"),
    ({'mesh': MeshConfig(data=1, tensor=8)}, "'heads' of size 4|'kv_heads' of size 2"),
    ({'model': dataclasses.replace(MODEL, attention='blockwise', kv_heads=None), 'mesh': MeshConfig(data=1, sequence=8)}, '4 attention heads .* 8 devices'),
    ({'model': ModelConfig(63, layers=1, width=16, ffn_width=32, heads=4, head_dim=4), 'mesh': MeshConfig(data=4, tensor=2)}, "'vocab' of size 63 .* make that 1"),
    ({'model': ModelConfig(64, layers=1, width=18, ffn_width=32, heads=4, head_dim=4), 'mesh': MeshConfig(data=2, fsdp=4)}, "'embed' of size 18 .* make that 1 or 2"),
  ],
)
def test_it_is_named_with_what_would_divide(changed, message):
  with pytest.raises(UserError, match=message) as error:
    check(**changed)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'changed',
  [
    {},
    {'runtime': Runtime(microbatches=2)},
    {'mesh': MeshConfig(data=2, sequence=4)},
    {'mesh': MeshConfig(data=2, tensor=4), 'runtime': Runtime(rules=ShardingRules(kv_heads=None))},
    {'runtime': Runtime(offload_optimizer=True)},
  ],
)
def test_what_divides_passes(changed):
  check(**changed)


@pytest.mark.parametrize('portions', [0, -1, 2.5, True])
def test_a_number_of_portions_that_makes_no_sense_is_refused(portions):
  with pytest.raises(UserError, match='Runtime.microbatches is'):
    Runtime(microbatches=portions)


def test_a_run_on_s3_is_refused_when_it_is_configured():
  with pytest.raises(UserError, match=r"Runtime.output is 's3://b/runs', and Orbax writes checkpoints to disks and to gs://, not to s3://"):
    Runtime(output='s3://b/runs')
