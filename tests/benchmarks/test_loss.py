import jax
import jax.numpy as jnp
import numpy as np

from codemix.benchmarks import loss, matmul
from codemix.benchmarks.measuring import in_fresh_process, peak_growth

GROWTH_BYTES = 2**28  # far above what compiling takes

TINY = loss.Size(vocabulary=4096, tokens=1024, width=16, timed_tokens=64, chunk=32, repeats=1)


def test_each_size_has_its_figures_with_the_goals_of_the_chunked_loss(tmp_path, monkeypatch):
  monkeypatch.setattr(loss, 'SMALL', (64, 32, 8))
  monkeypatch.setattr(matmul, 'CPU_SIDE', 64)
  figures = {figure.name: figure for figure in loss.measure(tmp_path, TINY)}
  for shape in ('float32, V 64, 32 tokens, d 8', 'float32, V 4,096, 64 tokens, d 16'):
    ratio = figures[f'{shape}: time of chunked to plain']
    plain, chunked = (figures[f'{shape}: {name}'].value for name in ('plain', 'chunked'))
    assert (ratio.goal, ratio.more_is_better, ratio.unit) == (1.1, False, 'x')
    np.testing.assert_allclose(ratio.value, chunked / plain)
  speed = figures['float32, V 4,096, 64 tokens, d 16: plain, its matmuls']
  np.testing.assert_allclose(speed.value, 6 * 4096 * 64 * 16 / plain / 1e6)
  assert figures['float32, V 64, 32 tokens, d 8: matmuls of 64 x 64 before or after'].unit == 'GFLOP/s'
  large = 'float32, V 4,096, 1,024 tokens, d 16'
  temporaries = figures[f'{large}: temporaries of chunked']
  assert (temporaries.goal, temporaries.unit, temporaries.more_is_better) == (1.5, 'GB', False)
  # The plain loss holds the logits of all tokens, and their gradients; the other those of a chunk.
  assert temporaries.value < 4096 * 1024 * 4 / 1e9 / 4
  assert figures[f'{large}: temporaries of plain'].value > 4096 * 1024 * 4 / 1e9
  assert figures[f'{large}: the process grew by'].goal == 1.5
  assert list(tmp_path.iterdir()) == []


def _grow_twice() -> int:
  def twice():
    jax.block_until_ready(jnp.zeros(GROWTH_BYTES // 4) + 1)
    held = np.ones(GROWTH_BYTES, np.uint8)
    return held.sum()

  return peak_growth(twice)


def test_the_growth_of_memory_is_that_of_the_largest_moment():
  # In a process of its own: what one frees that ran other tests is not always used again.
  assert GROWTH_BYTES * 0.9 < in_fresh_process(_grow_twice) < GROWTH_BYTES * 2.5
