"""The claims of a planned study as plain data: what is registered before the first step.

The hash of a claim covers what it says (`Claim` as declared: its name, version and arguments), and what its words mean in this
study: what is trained in each of the two arms up to the compared stage, whatever the seed, and the items that the metric is
measured on. So a recipe that gets another mixture, two recipes that swap their names, and another set of items make another claim.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from codemix.data.corpus.identity import described
from codemix.errors import UserError
from codemix.evaluation.evaluator import Evaluator
from codemix.evaluation.tasks.task import PREFIX
from codemix.identity import as_read, digest
from codemix.studies.baselines import baseline_of
from codemix.studies.claim import Claim
from codemix.studies.claim_comparison import Compared, Side, compare
from codemix.studies.claim_register import history, read_chain, register
from codemix.studies.planning import StudyPlan
from codemix.studies.preflight import Ready
from codemix.studies.study_record import arm_digest
from codemix.training.stage import StagePlan, stage_folder

# Of an evaluator's identity: which items are scored, and how. The rest may depend on the machine, such as the version of a compiler.
_ITEMS = ('store', 'documents', 'task', 'metric', 'data', 'prompts', 'items', 'shots', 'seed', 'decoding')


def claim_records(ready: Ready, output: str | Path) -> dict[str, dict]:
  """The claims by name: `hash`, `claim` (what the hash covers), and `own` and `base`, the stage's folder of each run by its seed.

  Called in all processes. Raises UserError if both arms of a claim have the same stage, which is trained once, or if the registrations
  that are there were changed.
  """
  read_chain(output)
  plan, evaluators = ready.plan, _evaluators(ready)
  records = {}
  for name, compared in compare(plan.study).items():
    sides = {'own': _folders(plan, compared.own, output), 'base': _folders(plan, compared.base, output)}
    if shared := set(sides['own'].values()) & set(sides['base'].values()):
      raise UserError(f"the claim '{name}' of Study.claims compares two arms after a stage that they share ({shared.pop()}), where they cannot differ: set Claim.stage to a later one.")
    what = as_read(_described(plan, plan.study.claims[name], compared, evaluators))
    records[name] = {'hash': digest(what), 'claim': what, **sides}
  return records


def register_claims(output: str | Path, study: str, records: Mapping[str, dict]) -> dict[str, str]:
  """Registers the claims of a study that is about to begin, and prints which of them are exploratory.

  Called in process 0. Raises UserError if the registrations that are there were changed.

  Args:
    study: its name.
    records: of `claim_records`.

  Returns:
    For `study.json`: `claims`, the digest of the registration; {} if the study never had a claim.
  """
  known = register(output, study, records)
  if known is None:
    return {}
  for claim in history(read_chain(output), study):
    if claim.withdrawn is None and claim.seen_before:
      print(f"the claim '{claim.name}' is exploratory: {', '.join(sorted(claim.seen_before))} had begun when it was registered", file=sys.stderr)
  return {'claims': known}


def _described(plan: StudyPlan, claim: Claim, compared: Compared, evaluators: dict[str, Evaluator]) -> dict:
  said = dataclasses.replace(claim, against=claim.against or baseline_of(plan.study, compared.own.arm.recipes[0]))
  return {
    **described(said),
    'own': _side(plan, compared.own),
    'base': _side(plan, compared.base),
    'unit': compared.metric.unit,
    'metric': [_part(name, weight, evaluators.get(name)) for name, weight in compared.metric.weights.items()],
  }


def _side(plan: StudyPlan, side: Side) -> dict:
  """What is trained in an arm up to a stage, and the place of that stage, from 1."""
  stages = _plans(plan, side)[0].lineage()
  return {'arm': arm_digest([stage.identity for stage in stages]), 'stage': side.stage + 1}


def _plans(plan: StudyPlan, side: Side) -> list[StagePlan]:
  return [plan.recipes[recipe][side.stage] for recipe in side.arm.recipes]


def _folders(plan: StudyPlan, side: Side, output: str | Path) -> dict[str, str]:
  return {str(stage.seed): stage_folder(output, stage).name for stage in _plans(plan, side)}


def _evaluators(ready: Ready) -> dict[str, Evaluator]:
  """The study's evaluators by their names without examples."""
  study = ready.plan.study
  tasks = study.evaluation.selected() if study.evaluation else []
  named = {PREFIX + task.name: evaluator for task, evaluator in zip(tasks, ready.tasks, strict=False)}
  return {held_out.name: held_out for held_out in ready.validation.values()} | named


def _part(name: str, weight: float, evaluator: Evaluator | None) -> dict:
  items = {key: value for key, value in evaluator.identity.items() if key in _ITEMS} if evaluator else {}
  return {'evaluator': evaluator.name if evaluator else name, 'weight': weight, 'items': items}
