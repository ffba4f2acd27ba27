"""Records what is needed to repeat a study: command, versions, machine, seeds and digests."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from codemix.numerics import settings_in_force
from codemix.studies.planning import StudyPlan

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'gin-config', 'numpy', 'tokenizers', 'seqio', 'tensorflow')


def collect(plan: StudyPlan, command: str) -> dict:
  """Plain data for `study.json`."""
  return {
    'command': command,
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'python': platform.python_version(),
    'platform': platform.platform(),
    'cpu_count': os.cpu_count(),
    'versions': versions('codemix', *PACKAGES),
    'git': _git_revision(),
    'environment': settings_in_force(),
    'seed': sorted({recipe.seed for recipe in plan.study.recipes.values()}),
    'tokenizer_digest': plan.tokenizer.digest,
    'corpora_digest': {name: source.fingerprint for name, source in plan.sources.items()},
  }


def versions(*packages: str) -> dict[str, str]:
  """The versions of those packages that are installed."""
  found = {}
  for name in packages:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


def _git_revision() -> str | None:
  """The checkout's commit, with '+' where files have changed since; None outside a checkout."""
  root = Path(__file__).resolve().parents[2]
  if not (root / '.git').exists():
    return None
  run = lambda *words: subprocess.run(
    ['git', '-C', str(root), *words], capture_output=True, text=True, check=False
  )
  revision = run('rev-parse', 'HEAD')
  if revision.returncode:
    return None
  return revision.stdout.strip() + ('+' if run('status', '--porcelain').stdout.strip() else '')
