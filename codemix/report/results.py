"""Reads the folder of a study: what was planned, trained, evaluated and sampled, stage by stage.

A study may be half done. Whatever is not there yet reads as None or as an empty frame; a file that
is there but damaged, or contradicts another, is an error.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codemix.errors import UserError, nearest
from codemix.evaluation.results import SAMPLES, of_held_out, read_results
from codemix.files import read_json, require_form
from codemix.identity import digest
from codemix.models.config import EXECUTION
from codemix.training.goodput import Times, read_times

if TYPE_CHECKING:
  import pandas as pd

# The paper counts markup, synthetic and code-adjacent data (commits, notebooks, question-and-answer
# pages about code) as code (Aryabumi et al., arXiv 2408.10914, section 2.1).
CODE_WORDS = {'code', 'markup', 'synthetic', 'synth', 'adjacent', 'commits', 'notebooks', 'stackexchange'}


@dataclasses.dataclass(frozen=True)
class Documents:
  """A model's likelihood of N validation documents: nats float [N], tokens int [N], bytes int [N]."""

  nats_N: np.ndarray
  tokens_N: np.ndarray
  bytes_N: np.ndarray


@dataclasses.dataclass(frozen=True)
class StageResults:
  """One folder of `stages/`; several recipes may run through it."""

  folder: str
  name: str
  identity: Mapping[str, Any]  # empty before the stage is begun
  plan: Mapping[str, Any] | None
  rates: pd.DataFrame  # step, rate: one row per step of the stage
  metrics: pd.DataFrame  # one row per step trained so far
  timing: pd.DataFrame
  times: Times | None  # of the wall clock, over all processes that trained and evaluated it
  ledger: Mapping[str, Any] | None
  evaluated: bool  # by all evaluators
  scores: Mapping[str, Mapping[str, float]]  # sums over the validation documents, by source
  documents: Mapping[str, Documents]  # by validation source
  samples: Sequence[Mapping[str, str]]

  @property
  def state(self) -> str:
    """'not started', 'planned', 'in training', 'trained' or 'evaluated'."""
    if self.plan is None:
      return 'not started'
    if self.evaluated:
      return 'evaluated'
    if len(self.metrics) >= self.plan['steps']:
      return 'trained'
    return 'in training' if len(self.metrics) else 'planned'


@dataclasses.dataclass(frozen=True)
class RecipeResults:
  """A recipe, and the folders of its stages.

  Attributes:
    stages: names of folders, in the order of training.
    arm: what it is but for its seed; recipes that differ in their seed alone have the same.
    seed: None where it is not known.
    model: its configuration and `parameters`; empty where they are not known.
  """

  name: str
  description: str
  stages: tuple[str, ...]
  arm: str
  seed: int | None
  model: Mapping[str, Any]

  @property
  def model_digest(self) -> str:
    """The same for models of the same numbers, however they are computed."""
    return digest({k: v for k, v in self.model.items() if k not in (*EXECUTION, 'parameters')})


@dataclasses.dataclass(frozen=True)
class StudyResults:
  """A whole study, as far as it has got. Recipes that begin alike name the same stage folders."""

  folder: Path
  name: str
  note: str
  baseline: str | None
  recipes: Mapping[str, RecipeResults]
  stages: Mapping[str, StageResults]  # by the name of the folder, in the order of first use
  savings: Mapping[str, int]
  provenance: Mapping[str, Any]
  code_sources: frozenset[str]  # those that stand in a group of code in some mixture

  def kind(self, source: str) -> str:
    """'code' or 'text': by the words in the name of the source and of the groups it stands in."""
    return 'code' if source in self.code_sources or _names_code(source) else 'text'

  @property
  def training_sources(self) -> list[str]:
    """Every source of some stage's mixture, text before code, else by name."""
    planned = {s['source'] for stage in self.stages.values() if stage.plan for s in stage.plan['sources']}
    return self._ordered(planned)

  @property
  def validation_sources(self) -> list[str]:
    """Every source that some stage was evaluated on, text before code, else by name."""
    return self._ordered({source for stage in self.stages.values() for source in stage.scores})

  def _ordered(self, sources: set[str]) -> list[str]:
    return sorted(sources, key=lambda source: (self.kind(source) != 'text', source))


def arm_digest(identities: Sequence[Mapping[str, Any]]) -> str:
  """What a recipe is but for its seed: of the identities of its stages, in order.

  A stage's parent stands before it in the list; its hash would bring the seed back in.
  """
  return digest([{k: v for k, v in identity.items() if k not in ('seed', 'parent')} for identity in identities])


def read_study(study_dir: Path | str) -> StudyResults:
  """The study in `study_dir`, as far as it has got.

  Raises:
    UserError: the folder is not that of a study, a file of it is damaged, the baseline is none of the recipes,
      or the documents of an evaluation do not add up to its scores.
  """
  folder = Path(study_dir)
  path = folder / 'study.json'
  if not path.is_file():
    raise UserError(f'{folder} is not the folder of a study: it has no study.json. Give the Runtime.output of `codemix study`.')
  record = read_json(path)
  require_form(record, {key: form for key, form in _STUDY.items() if key in record}, path)
  names = _stage_names(record, path)
  stages = {
    name: _read_stage(folder / 'stages' / name) for name in dict.fromkeys(n for of in names.values() for n in of)
  }
  recipes = {
    name: _read_recipe(name, record, [stages[folder] for folder in folders]) for name, folders in names.items()
  }
  baseline = record.get('baseline')
  if baseline is not None and baseline not in recipes:
    hint = nearest(baseline, recipes)
    raise UserError(f"{path}: the baseline '{baseline}' is none of the recipes.{hint}")
  trees = [stage.plan['mixture'] for stage in stages.values() if stage.plan and 'mixture' in stage.plan]
  return StudyResults(
    folder=folder,
    name=record.get('name', folder.name),
    note=record.get('note', ''),
    baseline=baseline,
    recipes=recipes,
    stages=stages,
    savings=record.get('savings', {}),
    provenance=record.get('provenance', {}),
    # The root of a tree is named for its stage, which may be called anything: start below it.
    code_sources=frozenset(s for tree in trees for node in tree.get('parts', ()) for s in _under_code(node)),
  )


def _stage_names(record: Any, path: Path) -> dict[str, tuple[str, ...]]:
  try:
    names = {name: tuple(recipe['stages']) for name, recipe in record['recipes'].items()}
  except (AttributeError, KeyError, TypeError):
    names = {}
  if not names or not all(names.values()):
    raise UserError(f'{path} names no recipes with their stages: it was not written by `codemix study`')
  return names


def _read_recipe(name: str, record: Mapping[str, Any], stages: Sequence[StageResults]) -> RecipeResults:
  """A study of an older codemix says of the first recipe's model alone; its stages know the rest."""
  told = record['recipes'][name]
  identities = [stage.identity for stage in stages]
  first = identities[0]
  begun = all('seed' in identity for identity in identities)
  model = record.get('model', {})
  if 'model' in first:
    model = {**first['model'], **({'parameters': stages[0].plan['parameters']} if stages[0].plan else {})}
  return RecipeResults(
    name=name,
    description=told.get('description', ''),
    stages=tuple(stage.folder for stage in stages),
    arm=told.get('arm') or (arm_digest(identities) if begun else f"recipe '{name}'"),
    seed=told.get('seed', first.get('seed')),
    model=told.get('model', model),
  )


def _names_code(name: str) -> bool:
  return not CODE_WORDS.isdisjoint(re.split(r'[^a-z]+', name.lower()))


def _under_code(node: Mapping[str, Any], within: bool = False) -> Iterator[str]:
  """The sources of a part of a mixture ({'name', 'weight', 'parts'}) that are named for code or
  stand below a group that is."""
  within = within or _names_code(node['name'])
  parts = node.get('parts', ())
  if within and not parts:
    yield node['name']
  for part in parts:
    yield from _under_code(part, within)


_STUDY = {'name': str, 'note': str, 'baseline': str | None, 'savings': {...: int}, 'model': dict, 'provenance': dict}
_PLAN = {'steps': int, 'sources': [{'source': str, 'share': float, 'loss_tokens': int}]}


def _read_stage(folder: Path) -> StageResults:
  import pandas as pd

  record = _read_if_there(folder / 'stage.json', {'name': str, 'identity': dict}) or {}
  plan = _read_if_there(folder / 'plan.json', _PLAN)
  if plan and 'mixture' in plan:
    _require_tree(plan['mixture'], folder / 'plan.json')
  results = read_results(folder)
  held_out = of_held_out(results)
  rates = folder / 'rate.csv'
  return StageResults(
    folder=folder.name,
    name=record.get('name') or folder.name.rpartition('-')[0] or folder.name,
    identity=record.get('identity', {}),
    plan=plan,
    rates=pd.read_csv(rates) if rates.is_file() else pd.DataFrame(columns=['step', 'rate']),
    metrics=_read_lines(folder / 'metrics.jsonl'),
    timing=_read_lines(folder / 'timing.jsonl'),
    times=read_times(folder),
    ledger=_read_if_there(folder / 'ledger.json', {'hash': str, 'parent_hash': str | None}),
    evaluated=SAMPLES in results,
    scores={source: found.scores for source, found in held_out.items()},
    documents={
      source: Documents(arrays['nats'], arrays['tokens'], arrays['bytes'])
      for source, found in held_out.items()
      if (arrays := found.items())
    },
    samples=results[SAMPLES].samples if SAMPLES in results else [],
  )


def _require_tree(node: Any, path: Path) -> None:
  require_form(node, {'name': str}, path)
  require_form(node.get('parts', []), list, path)
  for part in node.get('parts', ()):
    _require_tree(part, path)


def _read_if_there(path: Path, form: object = dict) -> Any:
  return read_json(path, form) if path.is_file() else None


def _read_lines(path: Path) -> pd.DataFrame:
  """The records of a JSON-lines file; a last line without its newline is still being written."""
  import pandas as pd

  if not path.is_file():
    return pd.DataFrame()
  lines = path.read_text(encoding='utf-8').split('\n')[:-1]
  try:
    return pd.DataFrame([json.loads(line) for line in lines])
  except ValueError as error:
    raise UserError(f'{path} has a damaged line ({error}): resume the study, it rewrites it') from None
