"""Scores a finished stage's model, and continues the prompts; nothing that is known already is computed again."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from codemix.errors import NonFiniteError
from codemix.evaluation.held_out import DocumentScores, score_documents
from codemix.evaluation.sampling import sample
from codemix.evaluation.selection import HeldOut
from codemix.files import read_json, require_writable, write_bytes, write_json
from codemix.studies import show
from codemix.studies.planning import StudyPlan
from codemix.studies.recipe import Study
from codemix.training.goodput import TimeAccount
from codemix.training.loop import Trainer, final_params
from codemix.training.progress import scoring_progress
from codemix.training.stage import StagePlan
from codemix.training.stage_record import read_done
from codemix.training.train_state import Tree


@dataclasses.dataclass(frozen=True)
class Known:
  """What an earlier evaluation of the same checkpoint found on a source.

  Attributes:
    documents: their numbers, ascending, int64 [n].
    nats: float64 [n].
  """

  documents: np.ndarray
  nats: np.ndarray

  def missing(self, wanted: np.ndarray) -> np.ndarray:
    return np.setdiff1d(wanted, self.documents, assume_unique=True)

  def with_nats_of(self, documents: np.ndarray, nats: np.ndarray) -> Known:
    together = np.concatenate([self.documents, documents])
    order = np.argsort(together, kind='stable')
    return Known(together[order], np.concatenate([self.nats, nats])[order])

  def of(self, wanted: np.ndarray) -> np.ndarray:
    return self.nats[np.searchsorted(self.documents, wanted)]


_EVALUATION = {'identity': dict, 'sources': {...: {'documents': int, 'nats': float, 'bits_per_byte': float}}}
_SAMPLES = [{'prompt': str, 'method': str, 'text': str}]
NOTHING = Known(np.zeros(0, np.int64), np.zeros(0))


def evaluate_stage(
  plan: StudyPlan, stage_plan: StagePlan, trainer: Trainer, validation: Mapping[str, HeldOut]
) -> dict:
  """Scores a finished stage's model on each validation source, and continues the study's prompts.

  What an earlier evaluation of the same checkpoint left is taken over: the scores of each document,
  and the samples where the prompts are the same.

  Returns:
    What `evaluation.json` holds.

  Raises:
    NonFiniteError: a document's score is not finite.
  """
  folder = trainer.folder(stage_plan)
  done = read_done(folder)
  wanted = evaluation_identity(plan.study, done, validation)
  path = folder / 'evaluation.json'
  found = read_json(path, _EVALUATION, 'Delete it to score the stage again.') if path.exists() else {}
  if found.get('identity') == wanted:
    return found
  # All of it is read before the processes do anything together, since one of them writes.
  known = {name: _known(folder, name, held_out, found, done) for name, held_out in validation.items()}
  samples = _known_samples(folder, found, wanted)
  if not jax.process_index():
    require_writable(folder, 0)
  with TimeAccount(None if jax.process_index() else folder, 'evaluation'):
    work = any(len(known[name].missing(held_out.documents)) for name, held_out in validation.items())
    params = final_params(trainer, stage_plan) if work or samples is None else None
    scores = {
      name: _score(plan, stage_plan, trainer, params, name, held_out, known[name])
      for name, held_out in validation.items()
    }
    if samples is None:
      samples = _sample(plan, stage_plan, trainer, params)
  result = {
    'step': done['step'],
    'checkpoint': done['checkpoint'],
    'identity': wanted,
    'sources': {name: _summary(score, validation[name]) for name, score in scores.items()},
  }
  if not jax.process_index():
    for name, score in scores.items():
      buffer = io.BytesIO()
      arrays = {'nats': score.nats, 'tokens': score.tokens, 'bytes': score.bytes}
      np.savez(buffer, **arrays, documents=validation[name].documents)
      write_bytes(folder / 'evaluation' / f'{name}.npz', buffer.getvalue())
    write_json(folder / 'samples.json', samples)
    write_json(path, result)
    show.show_scores(stage_plan, result)
  return result


def evaluation_identity(study: Study, done: Mapping, validation: Mapping[str, HeldOut]) -> dict:
  """What an evaluation follows from; a number of documents stands in it only where it leaves some out."""
  identity = {
    'checkpoint': done['checkpoint'],
    'sources': {name: held_out.store.digest for name, held_out in validation.items()},
    'prompts': list(study.prompts),
    'sample_tokens': study.sample_tokens,
  }
  parts = {name: len(held_out.documents) for name, held_out in validation.items() if not held_out.whole}
  return {**identity, 'documents': parts} if parts else identity


def _summary(score: DocumentScores, held_out: HeldOut) -> dict:
  summary = score.summary()
  return summary if held_out.whole else {**summary, 'of_documents': held_out.store.documents}


def _known(folder: Path, name: str, held_out: HeldOut, found: Mapping, done: Mapping) -> Known:
  """The scores of an earlier evaluation, where they are of this checkpoint and this split."""
  identity = found.get('identity', {})
  if identity.get('checkpoint') != done['checkpoint'] or identity.get('sources', {}).get(name) != held_out.store.digest:
    return NOTHING
  try:
    with np.load(folder / 'evaluation' / f'{name}.npz') as arrays:
      nats = arrays['nats']
      # Those of before documents could be left out are of all.
      known = Known(arrays['documents'] if 'documents' in arrays else np.arange(len(nats)), nats)
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return NOTHING  # scored again, and written anew
  whole = len(known.documents) == len(nats) == found['sources'][name]['documents']
  return known if whole and np.isclose(nats.sum(), found['sources'][name]['nats'], rtol=1e-6) else NOTHING


def _known_samples(folder: Path, found: Mapping, wanted: Mapping) -> list[dict] | None:
  of = lambda identity: {key: identity.get(key) for key in ('checkpoint', 'prompts', 'sample_tokens')}
  path = folder / 'samples.json'
  return read_json(path, _SAMPLES, 'Delete it to sample again.') if of(found.get('identity', {})) == of(wanted) and path.exists() else None


def _score(
  plan: StudyPlan,
  stage_plan: StagePlan,
  trainer: Trainer,
  params: Tree | None,
  name: str,
  held_out: HeldOut,
  known: Known,
) -> DocumentScores:
  """The scores of `held_out.documents`; those that are not known yet are computed."""
  store, documents = held_out.store, held_out.documents
  missing = known.missing(documents)
  if len(missing):
    recipe = plan.recipe_of(stage_plan)
    with scoring_progress(stage_plan.stage.name, name, len(missing), shown=not jax.process_index()) as report:
      scores = score_documents(
        recipe.model,
        params,
        store,
        length=recipe.length,
        batch=trainer.runtime.rows_at_once(stage_plan.stage.batch),
        bos_id=plan.tokenizer.bos_id,
        mesh=trainer.mesh,
        rules=trainer.runtime.rules,
        documents=missing,
        show=report,
      )
    if not (finite := np.isfinite(scores.nats)).all():
      raise NonFiniteError(
        f"stage '{stage_plan.stage.name}': its model's loss on document {missing[~finite][0]:,} of '{name}' (validation) is not finite."
      )
    known = known.with_nats_of(missing, scores.nats)
  tokens = np.diff(store.document_ends, prepend=0)[documents]
  return DocumentScores(known.of(documents), tokens, store.document_bytes[documents])


def _sample(plan: StudyPlan, stage_plan: StagePlan, trainer: Trainer, params: Tree) -> list[dict]:
  recipe = plan.recipe_of(stage_plan)
  return sample(
    recipe.model,
    params,
    plan.tokenizer,
    plan.study.prompts,
    tokens=plan.study.sample_tokens,
    seed=recipe.seed,
    mesh=trainer.mesh,
  )
