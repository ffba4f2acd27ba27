"""Checks that all processes have the same study, settings, versions, data and output folder."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax

import codemix
from codemix.data.settings import Data
from codemix.data.store.token_store import TokenStore
from codemix.numerics import settings_in_force
from codemix.parallel.agreement import require_agreement
from codemix.parallel.shared_folder import require_shared
from codemix.storage import as_path
from codemix.studies.planning import StudyPlan
from codemix.studies.provenance import versions
from codemix.studies.recipe import Recipe, Study
from codemix.training.runtime import Runtime

PACKAGES = ('jax', 'jaxlib', 'libtpu', 'flax', 'optax', 'orbax-checkpoint', 'tensorstore', 'numpy', 'ml_dtypes', 'grain', 'tokenizers')

# Folders may have other names on other machines; the rest concerns one process only.
_MAY_DIFFER = {
  Recipe: ('start',),
  Runtime: ('output', 'compilation_cache', 'prefetch', 'peak_tflops', 'stuck_after', 'tensorboard'),
  Data: ('directory', 'workers', 'cache_bytes'),
}


def require_same_settings(study: Study, data: Data, runtime: Runtime) -> None:
  """Checks that all processes have the same study, settings and versions, and write to one folder.

  It reads no data, so that it can come before they are prepared. The output folder must exist.
  Raises UserError in all processes, naming what differs and in which of them, or the folder.
  """
  if jax.process_count() == 1:
    return
  require_agreement(
    {
      'codemix': {**versions('codemix'), 'source': _source_digest()},
      'python': platform.python_version(),
      **versions(*PACKAGES),
      'device': jax.devices()[0].device_kind,
      'environment': settings_in_force(),
      'Study': _plain(study),
      'Data': _plain(data),
      'Runtime': _plain(runtime),
    },
    'Start all with the same flags, gin files, environment and versions.',
  )
  require_shared(as_path(runtime.output), 'Runtime.output')


def require_same_data(plan: StudyPlan, validation: Mapping[str, TokenStore]) -> None:
  """Checks that all processes have planned the same from their data.

  Raises UserError in all processes, naming the sources that differ.
  """
  require_agreement(
    {
      'the tokenizer': plan.tokenizer.digest,
      'the training data of': {name: source.fingerprint for name, source in plan.sources.items()},
      'the validation data of': {name: store.digest for name, store in validation.items()},
      'the plan of': {f'{name}/{stage.stage.name}': stage.hash for name, stages in plan.recipes.items() for stage in stages},
    },
    'Data.directory must be one folder for all processes, or hold the same in each.',
  )


def _plain(value: object) -> object:
  """A setting as plain data, equal in processes that read the same files and flags."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    fields = [field.name for field in dataclasses.fields(value) if field.name not in _MAY_DIFFER.get(type(value), ())]
    return {'kind': type(value).__name__, **{name: _plain(getattr(value, name)) for name in fields}}
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, Sequence) and not isinstance(value, str):
    return [_plain(item) for item in value]
  if value is None or isinstance(value, (str, int, float)):
    return value
  # The repr of many objects holds their address.
  return getattr(value, '__qualname__', type(value).__qualname__)


def _source_digest() -> str:
  """Digest of codemix's own source: two checkouts may have the same version."""
  digest = hashlib.sha256()
  root = Path(codemix.__file__).parent
  for path in sorted(root.rglob('*.py')):
    digest.update(str(path.relative_to(root)).encode() + b'\0' + path.read_bytes())
  return digest.hexdigest()[:12]
