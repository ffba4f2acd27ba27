"""The model 'codemix' of lm-evaluation-harness; importing this registers it."""

from codemix.lm_eval.adapter import CodemixLM

__all__ = ['CodemixLM']
