"""Every attention implementation is held to the reference, and all to one equality test."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.models import attention, reference
from codemix.models.attention import IMPLEMENTATIONS, attend
from codemix.models.attention.blockwise import Plan, sharing_spans
from codemix.models.config import ATTENTION
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import ShardingRules
from tests.models.random_inputs import in_float64

# The pairs of implementation and mask that the tests below put to the test. Kernels of another
# platform run in Pallas's interpreter.
TESTED = {
  'xla': ('causal', 'documents'),
  'blockwise': ('causal', 'documents'),
  'splash': ('causal', 'documents'),
  'pallas': ('causal', 'documents'),
}
PAIRS = [(name, mask) for name, masks in TESTED.items() for mask in masks]
KERNELS = [name for name in TESTED if name != 'xla']

# Documents of each row; what is left of the row is padding.
ROWS = {
  1: [[1], [1]],
  77: [[40, 1, 20], [77]],  # a document of one token, and an odd length
  300: [[128, 128], [3, 290]],
  1100: [[700, 2, 300], [100, 900]],  # several spans, some of which share no document
}


def random_heads(seed, B, L, H, G, K, dtype=jnp.float32):
  """q, k, v, and a gradient by the result."""
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.normal(size=(B, L, heads, K)), dtype) for heads in (H, G, G, H)]


def packed(rows, length):
  """Segment ids, 0 where a row is padding."""
  ids = np.zeros((len(rows), length), np.int32)
  for row, documents in enumerate(rows):
    ends = np.cumsum(documents)
    ids[row, : ends[-1]] = 1 + np.searchsorted(ends, np.arange(ends[-1]), side='right')
  return jnp.asarray(ids)


@functools.partial(jax.jit, static_argnames=('implementation', 'mesh'))
def differentiate(q, k, v, dout, segments, *, implementation, mesh=None):
  """The result and the gradients by q, k and v."""
  run = functools.partial(attend, implementation=implementation, mesh=mesh, interpret=True)
  out, pull = jax.vjp(lambda q, k, v: run(q, k, v, segments), q, k, v)
  return out, *pull(dout)


@jax.jit
def differentiate_reference(q, k, v, dout, segments):
  mask = reference.attention_mask(q.shape[1], segments)
  out, pull = jax.vjp(lambda q, k, v: reference.attention(q, k, v, mask), q, k, v)
  return out, *pull(dout)


def assert_equal(results, expected, tolerance):
  """Each array up to `tolerance`, relative to its largest number: what sums of products can hold."""
  for result, array in zip(results, expected, strict=True):
    assert result.dtype == array.dtype
    result, array = np.asarray(result, np.float64), np.asarray(array, np.float64)
    np.testing.assert_allclose(result, array, rtol=0, atol=tolerance * max(np.abs(array).max(), 1))


@pytest.mark.parametrize('name', TESTED)
@pytest.mark.parametrize('heads', [(1, 1), (6, 3), (4, 1)])
@pytest.mark.parametrize('length', [1, 16])
@pytest.mark.parametrize('masked', [False, True])
def test_attention_is_that_of_the_reference(name, heads, length, masked):
  q, k, v, _ = random_heads(length, 2, length, *heads, 8)
  segments = np.sort(np.random.default_rng(length).integers(0, 4, (2, length)), axis=1)
  segments = jnp.asarray(segments) if masked else None
  out = jax.jit(functools.partial(attend, implementation=name, interpret=True))(q, k, v, segments)
  expected = in_float64(reference.attention, q, k, v, reference.attention_mask(length, segments))
  np.testing.assert_allclose(out, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(('name', 'mask'), PAIRS)
@pytest.mark.parametrize(
  ('length', 'heads', 'size', 'dtype'),
  [
    (1, (2, 1), 64, 'float32'),
    (77, (4, 2), 64, 'float32'),
    (77, (4, 2), 64, 'bfloat16'),
    (300, (2, 2), 128, 'float32'),
    (300, (2, 2), 128, 'bfloat16'),
    (1100, (3, 1), 64, 'float32'),
  ],
)
def test_values_and_gradients_are_those_of_the_reference(name, mask, length, heads, size, dtype):
  segments = packed(ROWS[length], length)
  q, k, v, dout = random_heads(length, 2, length, *heads, size, dtype)
  dout = jnp.where(segments[..., None, None] > 0, dout, 0)  # nothing is learnt from padding
  arrays = q, k, v, dout, segments if mask == 'documents' else None
  results = differentiate(*arrays, implementation=name)
  # In float32: XLA may round the reference's own sums to bfloat16 (jax 0.12 does, by 0.09 where ours are right to 0.01).
  in_float32 = [array.astype(jnp.float32) for array in arrays[:4]]
  expected = [array.astype(dtype) for array in differentiate_reference(*in_float32, arrays[4])]
  assert_equal(results, expected, {'float32': 1e-5, 'bfloat16': 1e-2}[dtype])


@pytest.mark.parametrize('name', TESTED)
def test_nothing_passes_from_a_document_to_another(name):
  documents = [130, 1, 520, 9]
  length, start, end = 700, 131, 651  # of the third document
  segments = packed([documents], length)
  arrays = random_heads(0, 1, length, 2, 1, 64)
  others = random_heads(1, 1, length, 2, 1, 64)
  inside = jnp.zeros((length, 1, 1), bool).at[start:end].set(True)
  changed = [jnp.where(inside, a, 100 * b) for a, b in zip(arrays, others, strict=True)]
  alone = differentiate(*arrays, segments, implementation=name)
  beside = differentiate(*changed, segments, implementation=name)
  for a, b in zip(alone, beside, strict=True):
    np.testing.assert_array_equal(a[:, start:end], b[:, start:end])
    assert not np.array_equal(a[:, :start], b[:, :start])


def test_a_model_can_ask_for_what_there_is():
  assert set(ATTENTION) == {'auto', *IMPLEMENTATIONS}


@pytest.mark.parametrize('name', ['xla', 'blockwise'])
def test_attention_that_is_kept_is_not_computed_again(name):
  q, k, v, dout = random_heads(0, 1, 32, 1, 1, 8)

  def exponentials(policy):
    call = lambda *qkv: (attend(*qkv, None, implementation=name) * dout).sum()
    if policy:
      call = jax.checkpoint(call, policy=policy)
    return str(jax.make_jaxpr(jax.grad(call, argnums=(0, 1, 2)))(q, k, v)).count(' exp ')

  keeping = jax.checkpoint_policies.save_only_these_names('context')
  # The definition's backward pass reads the weights, which are not kept; its own reads the result.
  again = exponentials(keeping) - exponentials(None)
  assert again == (1 if name == 'xla' else 0)
  assert exponentials(jax.checkpoint_policies.nothing_saveable) > exponentials(None)


def test_the_pairs_that_can_be_used_are_those_that_are_tested():
  assert {name: implementation.verified for name, implementation in IMPLEMENTATIONS.items()} == {**TESTED, 'cudnn': ()}


@pytest.mark.skipif(jax.default_backend() != 'gpu', reason='cuDNN needs an NVIDIA GPU')
@pytest.mark.parametrize(('length', 'size'), [(256, 64), (300, 128)])
def test_cudnn_is_the_reference(length, size):
  """To be run, and its masks entered in both tables, before cuDNN can be used."""
  q, k, v, dout = random_heads(length, 2, length, 4, 2, size, 'bfloat16')
  run = functools.partial(IMPLEMENTATIONS['cudnn'].function, segment_ids_BxL=None, platform='gpu')
  out, pull = jax.vjp(run, q, k, v)
  expected = differentiate_reference(q, k, v, dout, None)
  assert_equal((out, *pull(dout)), expected, 2e-2)


@pytest.mark.parametrize('name', KERNELS)
@pytest.mark.parametrize(
  'sizes',
  [
    MeshConfig(data=2, fsdp=2, tensor=2),
    MeshConfig(data=2, sequence=4),
    MeshConfig(data=1, sequence=4, tensor=2),
  ],
  ids=str,
)
def test_a_mesh_changes_nothing(name, sizes):
  segments = packed([[80, 40], [5, 100], [128], [1, 1]], 128)
  arrays = (*random_heads(0, 4, 128, 8, 2, 16), segments)
  results = differentiate(*arrays, implementation=name, mesh=make_mesh(sizes))
  assert_equal(results, differentiate_reference(*arrays), 1e-5)


@pytest.mark.parametrize(
  ('rows', 'heads', 'message'),
  [
    (3, 4, '3 rows cannot be split over the 4 devices'),
    (4, 3, "3 attention heads.*2 devices.*'xla'"),
  ],
)
def test_rows_and_heads_that_a_mesh_does_not_divide_are_refused(rows, heads, message):
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  q, k, v, _ = random_heads(0, rows, 8, heads, heads, 8)
  with pytest.raises(UserError, match=message):
    attend(q, k, v, None, implementation='blockwise', mesh=mesh)


def test_heads_that_the_rules_keep_whole_need_no_divisor():
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  q, k, v, _ = random_heads(0, 4, 8, 3, 3, 8)
  rules = ShardingRules(heads=None, kv_heads=None)
  found = jax.jit(lambda *qkv: attend(*qkv, None, implementation='blockwise', mesh=mesh, rules=rules))(q, k, v)
  np.testing.assert_allclose(found, attend(q, k, v, None, implementation='xla'), rtol=1e-5, atol=1e-5)


def training_memory(length, name):
  """Bytes that a forward and backward pass needs beside its inputs and outputs."""
  shapes = [jax.ShapeDtypeStruct((1, length, heads, 16), jnp.float32) for heads in (2, 1, 1, 2)]
  segments = jax.ShapeDtypeStruct((1, length), jnp.int32)
  program = differentiate.lower(*shapes, segments, implementation=name).compile()
  return program.memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_length_and_not_with_its_square():
  assert training_memory(32_768, 'blockwise') < 2.2 * training_memory(16_384, 'blockwise')
  assert training_memory(2_048, 'xla') > 2.5 * training_memory(1_024, 'xla')  # it could be seen


def test_blocks_without_a_common_document_are_left_out():
  plan = Plan(spans=4, tiles=1, tile=8, heads=1, pairs=2)

  def spans(*rows):
    return [found.tolist() for found in sharing_spans(plan, packed(rows, 32))]

  assert spans([32]) == [[0, 0, 0, 0], [3, 3, 3, 3]]
  assert spans([8, 8, 8, 8]) == [[0, 1, 2, 3], [0, 1, 2, 3]]
  assert spans([12, 8]) == [[0, 0, 1, 2], [1, 2, 3, 3]]  # 12 tokens of padding
  assert spans([8, 8, 8, 8], [16, 16]) == [[0, 0, 2, 2], [1, 1, 3, 3]]  # what one of the rows needs
  assert spans([8]) == [[0, 1, 1, 1], [0, 3, 3, 3]]


@pytest.mark.parametrize(
  ('platform', 'length', 'name'),
  [('cpu', 128, 'xla'), ('cpu', 512, 'blockwise'), ('gpu', 512, 'pallas'), ('tpu', 64, 'splash')],
)
def test_auto_chooses_what_is_verified_with_documents(platform, length, name):
  assert attention.choose(platform, length) == name
  assert 'documents' in IMPLEMENTATIONS[name].verified
  assert IMPLEMENTATIONS[name].platform in (None, platform)


@pytest.mark.parametrize(
  ('name', 'masked', 'message'),
  [
    ('cudnn', True, "'cudnn'.*has not passed.*masks between documents: use 'blockwise', or 'auto'"),
    ('cudnn', False, "'cudnn'.*has not passed.*causal masks: use"),
    ('splash', True, "'splash', which is for TPUs, and this runs on CPU: use 'blockwise'"),
  ],
)
def test_what_cannot_be_used_is_refused_and_a_way_out_named(name, masked, message):
  q, k, v, _ = random_heads(0, 1, 512, 1, 1, 8)
  with pytest.raises(UserError, match=message) as refusal:
    attend(q, k, v, jnp.ones((1, 256), jnp.int32) if masked else None, implementation=name)
  assert not re.search('\n', str(refusal.value))
