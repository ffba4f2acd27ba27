"""Checks JobSets from stdin (YAML) against the types of kubeflow-trainer-api, which are generated from the published schema.

Prints nothing, or what is wrong; run by the Python of launch/engines.sh.
"""

import sys

import yaml
from kubeflow_trainer_api import models


def unknown(given: object, known: object, path: str = '') -> list[str]:
  """Paths of fields that the types do not have: they are dropped in `known`. null is a field that is left out."""
  if isinstance(given, dict) and isinstance(known, dict):
    return [f'{path}.{key}' for key, value in given.items() if value is not None and key not in known] + [found for key in given if key in known for found in unknown(given[key], known[key], f'{path}.{key}')]
  if isinstance(given, list) and isinstance(known, list):
    return [found for number, (mine, its) in enumerate(zip(given, known, strict=True)) for found in unknown(mine, its, f'{path}[{number}]')]
  return []


for document in yaml.safe_load_all(sys.stdin):
  if document['kind'] == 'JobSet':
    parsed = models.JobsetV1alpha2JobSet.from_dict(document)
    if fields := unknown(document, parsed.to_dict()):
      sys.exit(f'unknown fields: {", ".join(fields)}')
