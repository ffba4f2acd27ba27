"""The configuration of a decoder, and its numbers of parameters and FLOPs.

JAX is not imported, so that a plan, a `--help` or a report does not start an accelerator.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from codemix.checked import Above, From, checked
from codemix.errors import UserError

# What the backward pass recomputes, from least to most.
REMAT = ('none', 'dots', 'attention', 'context', 'block')

ATTENTION = ('auto', 'xla', 'blockwise', 'splash', 'pallas', 'cudnn')

Size = Annotated[int, From(1)]

# How the same numbers are computed: in which chunks, by which kernel, and what is recomputed. These
# change results only by the order of sums, as the number of devices does, so a stage may be resumed with
# another value.
EXECUTION = ('remat', 'scan', 'loss_chunk', 'attention')


@dataclasses.dataclass(frozen=True)
@checked
class ModelConfig:
  """A decoder-only Transformer; the defaults are the block of the public Cohere (Command-R) architecture.

  Command-R itself has another `logit_scale` (0.0625) and another `rope_theta`.

  Raises UserError: a value is out of range, not among its choices, or contradicts another.

  Attributes:
    vocab_size: rows of the embedding table, special tokens included.
    layers: number of blocks.
    width: size of the residual stream.
    ffn_width: size of the hidden layer of the SwiGLU feed-forward network.
    heads: attention (query) heads.
    head_dim: size of one head; even, since rotary positions rotate pairs of numbers.
    kv_heads: key/value heads, a divisor of `heads`; None: as many as `heads`.
    block: 'parallel': x + attention(norm(x)) + ffn(norm(x)), one norm;
      'serial': attention, then the FFN, each after its own norm (as in Llama).
    norm: 'layernorm' (scale, no bias) or 'rmsnorm'.
    tied: whether the output head is the embedding table.
    qk_norm: whether queries and keys are normalised, each head with its own scale.
    document_mask: whether attention stays inside each document of a packed row.
    rope_theta: base of the rotary frequencies.
    logit_scale: factor on the logits.
    norm_epsilon: added to the variance in each norm.
    dtype: of activations and of matmul inputs; parameters are always float32.
    remat: what the backward pass recomputes, from least to most, and so from most memory to least.
      'none': nothing; 'dots': all of a block but its matmuls with weights and attention's output;
      'attention': all but queries, keys, values and attention's output; 'context': all but
      attention's output; 'block': each block from its input.
    scan: whether a scan over the layers runs one compiled block; else each layer is compiled, which
      takes longer and may run faster.
    attention: name of an implementation in `codemix.models.attention`, or 'auto': the fastest for the
      devices and the length.
    loss_chunk: positions of each row of a device whose logits are in memory at once; None: as many as
      are fastest (`codemix.models.loss.default_chunk`).
    z_loss: weight of log(Z)^2 in the loss (PaLM, arXiv:2204.02311, section 5, uses 1e-4).
  """

  vocab_size: Size
  layers: Size
  width: Size
  ffn_width: Size
  heads: Size
  head_dim: Size
  kv_heads: Size | None = None
  block: Literal['parallel', 'serial'] = 'parallel'
  norm: Literal['layernorm', 'rmsnorm'] = 'layernorm'
  tied: bool = True
  qk_norm: bool = False
  document_mask: bool = True
  rope_theta: Annotated[float, Above(0)] = 10_000.0
  logit_scale: Annotated[float, Above(0)] = 1.0
  norm_epsilon: Annotated[float, Above(0)] = 1e-5
  dtype: Literal['bfloat16', 'float32'] = 'bfloat16'
  remat: Literal[REMAT] = 'none'
  scan: bool = True
  attention: Literal[ATTENTION] = 'auto'
  loss_chunk: Annotated[int, From(1), 'positions'] | None = None
  z_loss: Annotated[float, From(0)] = 0.0

  def __post_init__(self) -> None:
    if self.head_dim % 2:
      raise UserError(
        f'ModelConfig.head_dim is {self.head_dim}: rotary positions need an even number.'
      )
    if self.heads % self.key_value_heads:
      raise UserError(
        f'ModelConfig.kv_heads is {self.kv_heads}, which does not divide heads = {self.heads}: '
        f'use one of {", ".join(str(n) for n in range(1, self.heads + 1) if self.heads % n == 0)}.'
      )

  @property
  def key_value_heads(self) -> int:
    return self.heads if self.kv_heads is None else self.kv_heads

  def identity(self) -> dict[str, object]:
    """The settings that decide the model's numbers, as plain data: all but `EXECUTION`, with `kv_heads` resolved."""
    written = {k: v for k, v in dataclasses.asdict(self).items() if k not in EXECUTION}
    return {**written, 'kv_heads': self.key_value_heads}

  def parameter_count(self) -> dict[str, int]:
    """Parameters by part: embedding, attention, ffn, norm, head (0 where tied), and total."""
    queries = self.heads * self.head_dim
    keys = self.key_value_heads * self.head_dim
    norms = self.layers * (1 if self.block == 'parallel' else 2) + 1
    parts = {
      'embedding': self.vocab_size * self.width,
      'attention': self.layers * 2 * self.width * (queries + keys),
      'ffn': self.layers * 3 * self.width * self.ffn_width,
      'norm': norms * self.width + (self.layers * (queries + keys) if self.qk_norm else 0),
      'head': 0 if self.tied else self.vocab_size * self.width,
    }
    return parts | {'total': sum(parts.values())}

  def flops_per_token(self, length: int) -> dict[str, float]:
    """Floating-point operations to train on one token of a row of `length` tokens, by part.

    Counted are the matmuls of the forward and the backward pass at 2 FLOPs per multiply-add: 6 per
    weight (the 6N of Kaplan et al., arXiv:2001.08361, section 2.1; the output head counts also where
    it is tied), and attention's two matmuls with the sequence, 12 x heads x head_dim x length per
    layer (PaLM, arXiv:2204.02311, appendix B), of which the causal mask needs half. Not counted are
    the embedding's lookup, norms, softmax, rotary positions, the optimizer, and what `remat`
    recomputes. Document masks are not deducted.

    Returns: embedding (0), attention_projections, attention_scores, ffn, head, and total.

    Raises UserError: `length` is not positive.
    """
    if length < 1:
      raise UserError(f'flops_per_token: length is {length}: it must be at least 1 token.')
    weights = self.parameter_count()
    parts = {
      'embedding': 0.0,
      'attention_projections': 6.0 * weights['attention'],
      'attention_scores': 12.0 * self.layers * self.heads * self.head_dim * length / 2,
      'ffn': 6.0 * weights['ffn'],
      'head': 6.0 * self.vocab_size * self.width,
    }
    return parts | {'total': sum(parts.values())}
