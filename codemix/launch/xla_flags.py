"""Named sets of compiler flags for the machines of a run.

Flags change how a step is scheduled, and may change the last digits of its numbers; `study.json` records those in
force. `none` is the compiler's own choice. Sources:

- JAX: docs/xla_flags.md and docs/gpu_performance_tips.md of jax-ml/jax, read in 2026;
- MaxText TPU: benchmarks/xla_flags_library.py of AI-Hypercomputer/maxtext, read in 2026;
- MaxText GPU: MaxText/configs/a3/llama_2_7b/16vm.sh of the same (H100), read in 2026.

All names are known to libtpu 0.0.42 and jaxlib 0.10.2; `tests/launch/test_xla_flags.py` compiles with each set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from codemix.errors import UserError, nearest

NONE = 'none'


@dataclasses.dataclass(frozen=True)
class Flag:
  """A flag of the compiler.

  Attributes:
    text: as it is written.
    purpose: what it is for.
    source: where it was read.
  """

  text: str
  purpose: str
  source: str


@dataclasses.dataclass(frozen=True)
class FlagSet:
  """Flags that go together.

  Attributes:
    variable: the environment variable that takes them.
    flags: in order.
  """

  variable: str
  flags: tuple[Flag, ...]

  @property
  def value(self) -> str:
    """The variable's value."""
    return ' '.join(flag.text for flag in self.flags)


_GATHERS = (
  Flag('--xla_enable_async_all_gather=true', 'all-gathers of the weights run beside computation', 'JAX; MaxText TPU'),
  Flag('--xla_tpu_enable_async_collective_fusion=true', 'asynchronous collectives are fused with the computation between their start and end', 'JAX; MaxText TPU'),
  Flag('--xla_tpu_enable_async_collective_fusion_fuse_all_gather=true', 'so are all-gathers', 'JAX; MaxText TPU'),
  Flag('--xla_tpu_enable_async_collective_fusion_multiple_steps=true', 'one collective goes on through several fusions', 'JAX; MaxText TPU'),
  Flag('--xla_tpu_overlap_compute_collective_tc=true', 'a single TensorCore computes and communicates at once', 'JAX; MaxText TPU'),
)
_BETWEEN_SLICES = (
  Flag('--xla_tpu_enable_data_parallel_all_reduce_opt=true', "the reduction of gradients over the data-center network overlaps with computation", 'JAX; MaxText TPU'),
  Flag('--xla_tpu_data_parallel_opt_different_sized_ops=true', 'also across iterations, for arrays of different sizes; takes memory', 'JAX; MaxText TPU'),
)
_TRILLIUM = (Flag('--xla_tpu_scoped_vmem_limit_kib=98304', 'more of the vector memory for each operation; the value for dense models on v6e', 'MaxText TPU'),)
_GPU = (
  Flag('--xla_gpu_enable_latency_hiding_scheduler=true', 'collectives are scheduled to overlap with computation', 'JAX; MaxText GPU'),
  Flag('--xla_gpu_enable_highest_priority_async_stream=true', 'collectives run at the highest priority', 'MaxText GPU'),
  Flag('--xla_gpu_all_reduce_combine_threshold_bytes=1073741824', 'small all-reduces are sent together, up to 1 GiB', 'JAX; MaxText GPU'),
  Flag('--xla_gpu_all_gather_combine_threshold_bytes=134217728', 'so are all-gathers, up to 128 MiB', 'JAX; MaxText GPU'),
  Flag('--xla_gpu_reduce_scatter_combine_threshold_bytes=134217728', 'so are reduce-scatters, up to 128 MiB', 'JAX; MaxText GPU'),
  Flag('--xla_gpu_enable_pipelined_all_gather=true', "a layer's all-gather runs during the layer before", 'JAX; MaxText GPU'),
  Flag('--xla_gpu_enable_pipelined_reduce_scatter=true', 'so does a reduce-scatter', 'JAX; MaxText GPU'),
  Flag('--xla_gpu_enable_pipelined_all_reduce=true', 'so does an all-reduce', 'JAX; MaxText GPU'),
  Flag('--xla_gpu_enable_while_loop_double_buffering=true', 'two iterations of the scan over layers share no buffers, so that they can overlap', 'JAX; MaxText GPU'),
)


def _tpu(*flags: Flag) -> FlagSet:
  return FlagSet('LIBTPU_INIT_ARGS', flags)


_BY_CHIP = {'v4': _GATHERS, 'v5e': _GATHERS, 'v5p': _GATHERS, 'v6e': (*_GATHERS, *_TRILLIUM)}
SETS: Mapping[str, FlagSet] = {
  **{chip: _tpu(*flags) for chip, flags in _BY_CHIP.items()},
  **{f'{chip}_slices': _tpu(*flags, *_BETWEEN_SLICES) for chip, flags in _BY_CHIP.items()},
  **{gpu: FlagSet('XLA_FLAGS', _GPU) for gpu in ('a100', 'h100', 'h200', 'b200')},
}


def environment(name: str) -> dict[str, str]:
  """The variables of a set by its name; {} for 'none'. Raises UserError for an unknown name."""
  if name == NONE:
    return {}
  if name not in SETS:
    raise UserError(f"--xla_flags is '{name}'; it is one of {', '.join((NONE, *SETS))}.{nearest(name, (NONE, *SETS))}")
  return {SETS[name].variable: SETS[name].value}
