"""Claims as they are registered, made without a study."""

from __future__ import annotations

from codemix.identity import digest


def claim_entry(sentence: str, margin: float = 0.0, expected: str = 'lower', seeds: tuple[int, ...] = (0, 1)) -> dict:
  """A claim that 'code' compares with 'text' on held-out code, after their only stages, code-0 and text-0 with seed 0, and so on."""
  what = {
    'name': 'codemix.claim', 'version': 1, 'unit': 'bits per byte', 'metric': [{'evaluator': 'held_out/code', 'weight': 1.0, 'items': {'store': 'x'}}],
    'arguments': {'arm': 'code', 'metric': 'code', 'expected': expected, 'against': 'text', 'margin': margin, 'stage': None, 'sentence': sentence},
    'own': {'arm': 'a', 'stage': 1}, 'base': {'arm': 'b', 'stage': 1},
  }  # fmt: skip
  return {'hash': digest(what), 'claim': what, 'own': {str(seed): f'code-{seed}' for seed in seeds}, 'base': {str(seed): f'text-{seed}' for seed in seeds}}
