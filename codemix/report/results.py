"""Reads the folder of a study: what was planned, trained, evaluated and sampled, stage by stage.

A study may be half done. Whatever is not there yet reads as None or as an empty frame; a file that
is damaged, or contradicts another, is an error.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codemix.data.batches.ledger import TOKENS
from codemix.errors import UserError, nearest
from codemix.evaluation.results import (
  SAMPLES,
  StoredResults,
  evaluated_steps,
  of_held_out,
  read_results,
)
from codemix.identity import digest
from codemix.models.config import EXECUTION
from codemix.storage import FileName, as_path, read_json, require_form
from codemix.storage.lines import read_lines
from codemix.studies.failures import Failure, read_failures
from codemix.studies.fields import Field
from codemix.studies.study_record import arm_digest
from codemix.training.goodput import Times, read_times

if TYPE_CHECKING:
  import numpy as np
  import pandas as pd


@dataclasses.dataclass(frozen=True)
class StageResults:
  """One folder of `stages/`; several recipes may run through it."""

  folder: str
  name: str
  identity: Mapping[str, Any]  # empty before the stage has begun
  plan: Mapping[str, Any] | None
  rates: pd.DataFrame  # step, rate: one row per step of the stage
  metrics: pd.DataFrame  # one row per step trained so far
  timing: pd.DataFrame
  times: Times | None  # wall-clock time of all processes that trained and evaluated the stage
  ledger: Mapping[str, Any] | None
  lacks: Sequence[str]  # evaluators of the study without results
  results: Mapping[str, StoredResults]  # at the end of the stage, by evaluator
  steps: Mapping[int, Mapping[str, StoredResults]]  # at checkpoints before the end, by step of the run
  scores: Mapping[str, Mapping[str, float]]  # sums over the validation documents, by source
  documents: Mapping[str, Mapping[str, np.ndarray]]  # by validation source: 'nats' float [N] and 'bytes' int [N] of each
  samples: Sequence[Mapping[str, str]]
  failure: Failure | None = None  # of its training or evaluation, when it was last tried

  @property
  def state(self) -> str:
    """'failed', or as `progress`."""
    return 'failed' if self.failure and self.lacks else self.progress

  @property
  def progress(self) -> str:
    """'not started', 'planned', 'in training', 'trained' or 'evaluated'."""
    if self.plan is None:
      return 'not started'
    if not self.lacks:
      return 'evaluated'
    if len(self.metrics) >= self.plan['steps']:
      return 'trained'
    return 'in training' if len(self.metrics) else 'planned'

  @functools.cached_property
  def uses(self) -> dict[str, Mapping[str, Any]]:
    """Planned rows, tokens and so on of each training source; empty before the stage is planned."""
    return _by_source(self.plan['sources']) if self.plan else {}

  @property
  def planned(self) -> dict[str, Mapping[str, Any]]:
    """The ledger's planned side; before there is a ledger, `uses`."""
    return _by_source(self.ledger['planned'] if self.ledger else []) or self.uses

  @property
  def realised(self) -> dict[str, Mapping[str, Any]]:
    """The ledger's realised side; empty until all steps are trained."""
    done = self.ledger and self.progress in ('trained', 'evaluated')
    return _by_source(self.ledger['realised']) if done else {}


@dataclasses.dataclass(frozen=True)
class RecipeResults:
  """A recipe, and the folders of its stages.

  Attributes:
    stages: names of folders, in the order of training.
    arm: what identifies the recipe except for its seed; the same for all seeds.
    seed: None if it is not known.
    model: its configuration and `parameters`; empty if they are not known.
    start: what `Recipe.start` named (`Start.describe`); empty for a random initialisation.
    fields: what distinguishes it within the study, by name.
    baseline: `Recipe.baseline`, the recipe that it is compared with in place of the study's baseline; None if it has none.
  """

  name: str
  description: str
  stages: tuple[str, ...]
  arm: str
  seed: int | None
  model: Mapping[str, Any]
  start: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  fields: Mapping[str, Field] = dataclasses.field(default_factory=dict)
  baseline: str | None = None

  @functools.cached_property
  def model_digest(self) -> str:
    """The same for models of the same numbers, however they are computed."""
    return digest({k: v for k, v in self.model.items() if k not in (*EXECUTION, 'parameters')})


@dataclasses.dataclass(frozen=True)
class StudyResults:
  """A whole study, as far as it has got. Recipes that begin alike name the same stage folders.

  Attributes:
    baseline: the recipe that others are compared with; None if there is no other.
  """

  folder: Path
  name: str
  note: str
  baseline: str | None
  recipes: Mapping[str, RecipeResults]
  stages: Mapping[str, StageResults]  # by the name of the folder, in the order of first use
  savings: Mapping[str, int]
  provenance: Mapping[str, Any]
  kinds: Mapping[str, str]  # 'text', 'code' or a user's group, by source; only declared ones

  @functools.cached_property
  def training_sources(self) -> list[str]:
    """Every source of some stage's mixture, by kind (text, code, others, undeclared), then name."""
    return self._ordered({source for stage in self.stages.values() for source in stage.uses})

  @functools.cached_property
  def validation_sources(self) -> list[str]:
    """Every source that some stage was evaluated on, in the same order."""
    return self._ordered({source for stage in self.stages.values() for source in stage.scores})

  @functools.cached_property
  def sources(self) -> list[str]:
    """Training sources, then those that are only evaluated on."""
    return list(dict.fromkeys([*self.training_sources, *self.validation_sources]))

  def _ordered(self, sources: set[str]) -> list[str]:
    rank = {'text': 0, 'code': 1, None: 3}
    return sorted(sources, key=lambda s: (rank.get(kind := self.kinds.get(s), 2), kind or '', s))


def tokens_of(use: Mapping[str, Any]) -> float:
  """The tokens that a source gave, planned or realised: with prompts, if it has them; else they are its loss tokens. NaN: not known."""
  return use.get(TOKENS, use.get('loss_tokens', math.nan))


def read_study(study_dir: Path | str, study_file: Path | None = None) -> StudyResults:
  """The study in `study_dir`, as far as it has got.

  Raises UserError if the folder is not that of a study, a file in it is damaged, the baseline is
  not one of the recipes, or the documents of an evaluation do not add up to its scores.

  Args:
    study_file: the `study.json` of a study that ran there before, if it is not the last one that is meant.
  """
  folder = as_path(study_dir)
  path = study_file or folder / 'study.json'
  if not path.is_file():
    raise UserError(f'{folder} is not the folder of a study: it has no study.json. Give the Runtime.output of `codemix study`.')
  return study_of(read_json(path), folder, path)


def study_of(record: Mapping[str, Any], folder: Path, path: Path) -> StudyResults:
  """The study that a record of the form of `study.json` describes, with its stages in `folder`. Raises UserError as `read_study`.

  Args:
    path: where the record is from, for errors.
  """
  require_form(record, {key: form for key, form in _STUDY.items() if key in record}, path)
  names = _stage_names(record, path)
  failures = read_failures(folder)
  wanted = record.get('evaluators', [SAMPLES])  # earlier versions name none; samples were the last to be written
  stages = {
    name: _read_stage(folder / 'stages' / name, wanted, failures.get(f'train/{name}') or failures.get(f'evaluate/{name}')) for name in dict.fromkeys(n for of in names.values() for n in of)
  }
  recipes = {name: _read_recipe(name, record, [stages[n] for n in folders]) for name, folders in names.items()}
  baseline = record.get('baseline')
  for of in (baseline, *(recipe.baseline for recipe in recipes.values())):
    if of is not None and of not in recipes:
      raise UserError(f"{path}: the baseline '{of}' is not one of the recipes.{nearest(of, recipes)}")
  return StudyResults(
    folder=folder,
    name=record.get('name', folder.name),
    note=record.get('note', ''),
    baseline=baseline if len(recipes) > 1 else None,
    recipes=recipes,
    stages=stages,
    savings=record.get('savings', {}),
    provenance=record.get('provenance', {}),
    kinds={source: kind for source, kind in record.get('kinds', {}).items() if kind},
  )


_STUDY = {
  'name': str, 'note': str, 'baseline': str | None, 'savings': {...: int}, 'model': dict, 'provenance': dict,
  'kinds': {...: str | None}, 'evaluators': [str],
}  # fmt: skip
_RECIPE = {'description': str, 'arm': str, 'seed': int | None, 'model': dict, 'start': dict, 'fields': {...: Field}, 'baseline': str}
_USE = {'source': str, 'loss_tokens': int}
_PLAN = {'steps': int, 'parameters': int, 'sources': [_USE | {'share': float}]}
_LEDGER = {'hash': str, 'parent_hash': str | None, 'planned': [_USE], 'realised': [_USE]}


def _stage_names(record: Any, path: Path) -> dict[str, tuple[str, ...]]:
  try:
    names = {name: tuple(recipe['stages']) for name, recipe in record['recipes'].items()}
  except (AttributeError, KeyError, TypeError):
    names = {}
  if not names or not all(names.values()):
    raise UserError(f'{path} names no recipes with their stages: it was not written by `codemix study`')
  for recipe in record['recipes'].values():
    require_form(recipe, {key: form for key, form in _RECIPE.items() if key in recipe}, path)
  require_form({name: list(stages) for name, stages in names.items()}, {...: [FileName]}, path)
  return names


def _read_recipe(name: str, record: Mapping[str, Any], stages: Sequence[StageResults]) -> RecipeResults:
  """Reads arm, seed and model from the stages' identities if study.json is too old to hold them."""
  recipe = record['recipes'][name]
  identities = [stage.identity for stage in stages]
  first = identities[0]
  begun = all('seed' in identity for identity in identities)
  model = record.get('model', {})
  if 'model' in first:
    model = {**first['model'], **({'parameters': stages[0].plan['parameters']} if stages[0].plan else {})}
  return RecipeResults(
    name=name,
    description=recipe.get('description', ''),
    stages=tuple(stage.folder for stage in stages),
    arm=recipe.get('arm') or (arm_digest(identities) if begun else f"recipe '{name}'"),
    seed=recipe.get('seed', first.get('seed')),
    model=recipe.get('model', model),
    start=recipe.get('start', {}),
    fields=recipe.get('fields', {}),
    baseline=recipe.get('baseline'),
  )


def _read_stage(folder: Path, wanted: Sequence[str], failure: Failure | None) -> StageResults:
  import pandas as pd

  record = _read_if_there(folder / 'stage.json', {'name': str, 'identity': dict}) or {}
  if 'model' in record.get('identity', {}):
    require_form(record, {'identity': {'model': dict}}, folder / 'stage.json')
  results = read_results(folder)
  held_out = of_held_out(results)
  rates = folder / 'rate.csv'
  return StageResults(
    folder=folder.name,
    name=record.get('name') or folder.name.rpartition('-')[0] or folder.name,
    identity=record.get('identity', {}),
    plan=_read_if_there(folder / 'plan.json', _PLAN),
    rates=_read_rates(rates) if rates.is_file() else pd.DataFrame(columns=['step', 'rate']),
    metrics=_read_lines(folder / 'metrics.jsonl'),
    timing=_read_lines(folder / 'timing.jsonl'),
    times=read_times(folder),
    ledger=_read_if_there(folder / 'ledger.json', _LEDGER),
    lacks=[name for name in wanted if name not in results],
    results=results,
    steps={step: read_results(folder, step) for step in evaluated_steps(folder)},
    scores={source: found.scores for source, found in held_out.items()},
    documents={source: items for source, found in held_out.items() if (items := found.items())},
    samples=results[SAMPLES].samples if SAMPLES in results else [],
    failure=failure,
  )


def _read_rates(path: Path) -> pd.DataFrame:
  import pandas as pd

  try:
    return pd.read_csv(io.BytesIO(path.read_bytes()), dtype={'step': int, 'rate': float}, usecols=['step', 'rate'])
  except ValueError as error:  # pandas' own errors are such too
    raise UserError(f'{path} is damaged: {" ".join(str(error).split())}. Resume the study, it rewrites it.') from None


def _by_source(lines: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
  return {line['source']: line for line in lines}


def _read_if_there(path: Path, form: object = dict) -> Any:
  return read_json(path, form) if path.is_file() else None


def _read_lines(path: Path) -> pd.DataFrame:
  """The records of a JSON-lines file; a last line without its newline is still being written."""
  import pandas as pd

  content = read_lines(path) or b''
  try:
    lines = [json.loads(line) for line in content.decode().split('\n')[:-1]]
    require_form(lines, [dict], path, 'Resume the study, it rewrites it.')
    return pd.DataFrame(lines)
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path} has a damaged line ({error}): resume the study, it rewrites it') from None
