"""codemix: what does code in the pre-training data do to a language model?

The names below are codemix's public interface; they are imported when first
used, so that `import codemix` starts neither JAX nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
  'Claim': 'codemix.studies.claim',
  'CodemixError': 'codemix.errors',
  'Constant': 'codemix.training.schedules',
  'Data': 'codemix.data.settings',
  'Decoding': 'codemix.models.decoding',
  'Evaluation': 'codemix.evaluation.tasks.evaluation',
  'evaluate_folder': 'codemix.studies.folder_evaluation',
  'Handoff': 'codemix.training.handoff',
  'Judge': 'codemix.evaluation.judge.judge',
  'LinearTo': 'codemix.training.schedules',
  'MeshConfig': 'codemix.parallel.mesh',
  'ModelConfig': 'codemix.models.config',
  'NonFiniteError': 'codemix.errors',
  'Optimizer': 'codemix.training.optimizer',
  'plan_study': 'codemix.studies.planning',
  'Preempted': 'codemix.errors',
  'prepare_study': 'codemix.studies.preparation',
  'load_claims': 'codemix.report.claim_frame',
  'load_results': 'codemix.report.frames',
  'load_scores': 'codemix.report.score_frame',
  'load_stage': 'codemix.studies.load_stage',
  'Recipe': 'codemix.studies.recipe',
  'register_stages': 'codemix.studies.stage_tasks',
  'register_study': 'codemix.gin_stages',
  'results': 'codemix.report.study_frames',
  'run_study': 'codemix.studies.runner',
  'Runtime': 'codemix.training.runtime',
  'ShardingRules': 'codemix.parallel.sharding',
  'Skips': 'codemix.training.skips',
  'Stage': 'codemix.training.stage',
  'Study': 'codemix.studies.recipe',
  'UserError': 'codemix.errors',
  'WarmupCosine': 'codemix.training.schedules',
  'WarmupInverseSqrt': 'codemix.training.schedules',
  'WarmupStableDecay': 'codemix.training.schedules',
  'write_report': 'codemix.report.write',
  'write_swarm_report': 'codemix.report.swarm.write',
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
  if name not in _HOME:
    raise AttributeError(f'module codemix has no attribute {name!r}')
  return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
  return __all__
