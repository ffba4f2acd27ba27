"""What a recipe takes over from `Recipe.start`: checked before the first step, and before data are prepared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from codemix.data.batches.source import Cursor, Source
from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.models.config import ModelConfig
from codemix.storage import absolute
from codemix.studies.recipe import Recipe, Study
from codemix.training.curves import CURRENT
from codemix.training.handoff import KEPT, RESET
from codemix.training.stage import Rates
from codemix.training.start import Read, Start

# How a model is trained on, not what it is: these may differ from the start's, and the stage's identity has them.
TRAINING_FIELDS = ('document_mask', 'dtype', 'z_loss')


def check_starts(study: Study, data: Data) -> None:
  """Checks what can be wrong with the starts of a study; reads no source.

  Raises UserError: see `open_start`; or `Data.tokenizer` is not the start's.
  """
  for name, recipe in study.recipes.items():
    if start := open_start(recipe, f"recipe '{name}'"):
      require_tokenizer(start, data)


def open_start(recipe: Recipe, where: str = 'the recipe') -> Start | None:
  """What a recipe begins with; None without `Recipe.start`.

  Raises UserError: the folder is not a finished stage or an imported model, or is damaged; its model
  is another than the recipe's; or the first stage's hand-off asks for what it does not have.

  Args:
    where: the recipe, in an error.
  """
  if recipe.start is None:
    return None
  from codemix.studies.start_folder import config_of, read_start  # imports Orbax

  try:
    start = read_start(recipe.start)
    trained = config_of(start).identity()
    _check_model(recipe.model, trained, start)
    _check_handoff(recipe, start)
  except UserError as error:
    raise UserError(f'{where}: {error}') from None
  return dataclasses.replace(start, remarks=tuple(_remarks(recipe, trained, start)))


def require_tokenizer(start: Start, data: Data) -> None:
  """Checks that `Data.tokenizer` is the start's. Raises UserError, with what to bind."""
  from codemix.studies.load_stage import tokenizer_of

  expected = start.identity['tokenizer']
  file = tokenizer_of(start.folder, start.identity)
  fix = f"Bind Data.tokenizer = '{file if file == 'bytes' else absolute(file)}'."
  if data.tokenizer != 'bytes' and not data.tokenizer_path.exists():
    raise UserError(f'the tokenizer {data.tokenizer_path} does not exist, and Recipe.start, {start.folder}, was trained with its own. {fix}')
  tokenizer = data.load_tokenizer()
  if (tokenizer.kind, tokenizer.digest) != (expected['kind'], expected['digest']):
    described = lambda kind, digest: f'{kind} {digest[:8]}'
    raise UserError(
      f'Data.tokenizer is {data.tokenizer} ({described(tokenizer.kind, tokenizer.digest)}), and Recipe.start, {start.folder}, was trained with '
      f'another ({described(expected["kind"], expected["digest"])}): its embeddings are of other tokens. {fix}'
    )


def rates_before(start: Start | None) -> Rates | None:
  """The rates that the first stage goes on from: the last one of the start, and the rest of its curve if that is known."""
  if start is None or start.rate is None:
    return None
  # The description is that of the stage if this version of codemix trained it.
  described = start.identity.get('rates') or [[CURRENT]]
  return Rates(np.asarray([start.rate], np.float32), described, start.rest)


def continue_sources(start: Start, recipe: Recipe, sources: Mapping[str, Source], where: str) -> Start:
  """The start with the cursors from which the recipe goes on reading its sources.

  A source goes on if its data, the row length and the seed are those of the start. With another
  length or seed its rows are in another order: it begins at the first row, and what was drawn counts
  towards its epochs. A source of other data begins anew.

  Raises UserError: the start does not record how far a source that the recipe draws was read.
  """
  drawn = dict.fromkeys(name for stage in recipe.stages for name in stage.mixtures().drawn())
  if not start.read_all and (unknown := [name for name in drawn if name not in start.read]):
    raise UserError(
      f"{where}: an earlier version of codemix trained Recipe.start, {start.folder}, and did not record how far the stages before it had "
      f"read '{unknown[0]}'. Begin with a stage that draws it, or train that stage again."
    )
  cursors, remarks = {}, list(start.remarks)
  for name, read in start.read.items():
    if name not in sources:
      continue
    cursor, remark = _continued(name, read, sources[name], recipe)
    if cursor is not None:
      cursors[name] = cursor
    if remark and name in drawn:
      remarks.append(remark)
  return dataclasses.replace(start, cursors=cursors, remarks=tuple(remarks))


def _continued(name: str, read: Read, source: Source, recipe: Recipe) -> tuple[Cursor | None, str]:
  if read.data != source.fingerprint:
    return None, f"'{name}' is of other data than the start read under this name: it begins at its first row."
  in_order = read.length == recipe.length and (source.streamed or read.seed == recipe.seed)
  if in_order:
    return read.cursor, ''
  rows = -(-read.cursor.drawn * read.length // recipe.length)
  reason = 'row length' if read.length != recipe.length else 'seed'
  return Cursor(0, rows, 0), f"'{name}' is in another order than in the start, by another {reason}: it begins at its first row, and {rows:,} rows count as drawn."


def _check_model(model: ModelConfig, then: Mapping, start: Start) -> None:
  now = model.identity()
  differing = [field for field in now if field not in TRAINING_FIELDS and now[field] != then[field]]
  if differing:
    shown = ', '.join(f'ModelConfig.{field} = {now[field]} (the start: {then[field]})' for field in differing)
    raise UserError(f"Recipe.model is not the model of Recipe.start, {start.folder}: {shown}. Set these to the start's, or bind Recipe.model = None, which takes the start's model.")


def _check_handoff(recipe: Recipe, start: Start) -> None:
  stage = recipe.stages[0]
  handoff, of_stage = stage.handoff, f"of the first stage, '{stage.name}',"
  if handoff.weights == RESET:
    raise UserError(f"Handoff.weights {of_stage} is 'restart', and Recipe.start is there for its weights. Write Handoff.weights = 'continue', or remove Recipe.start.")
  if start.imported:
    for field, what in (('optimizer', 'moments'), ('rate', 'learning rate')):
      if getattr(handoff, field) == KEPT:
        raise UserError(
          f"Handoff.{field} {of_stage} is 'continue', and the imported model {start.folder} has no {what}. Write Handoff.{field} = 'restart'"
          + (', and give the stage a schedule with a start of its own, such as WarmupCosine or LinearTo.start.' if field == 'rate' else '.')
        )
  elif handoff.optimizer == KEPT:
    now, then = recipe.optimizer.identity(), start.identity['optimizer']
    for field in ('name', 'moments_dtype'):
      if now[field] != then.get(field, 'float32'):
        raise UserError(
          f"Handoff.optimizer {of_stage} is 'continue', and Optimizer.{field} is '{now[field]}', in the start '{then.get(field, 'float32')}': these moments "
          f"cannot be taken over. Write Handoff.optimizer = 'restart', or set Optimizer.{field} to the start's."
        )


def _remarks(recipe: Recipe, then: Mapping, start: Start) -> Iterator[str]:
  if start.imported:
    yield 'it was imported: what it was trained on is not known, so epochs and cursors count from here.'
  if recipe.length > start.identity['length']:
    yield f'rows have {recipe.length:,} tokens, and it was trained on {start.identity["length"]:,}: later positions are new to it.'
  now = recipe.model.identity()
  for field in TRAINING_FIELDS:
    if now[field] != then[field]:
      yield f'ModelConfig.{field} is {now[field]}, in the start {then[field]}.'
