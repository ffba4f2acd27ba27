"""A finished stage by its folder alone: its identity, its tokenizer, and its model."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh

from codemix.checkpoints import Checkpoints
from codemix.checkpoints.seal import digest_file, sealed_digest, sealed_steps
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.identity import differences, digest
from codemix.models.config import ModelConfig
from codemix.models.decoder import Params
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import RULES, ShardingRules, batch_shards
from codemix.storage import as_path, is_file_name, require_form, write_bytes
from codemix.studies.stage_names import SHORT, find_stage
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.stage_record import read_done, read_stage
from codemix.training.start import IMPORTED
from codemix.training.train_state import abstract_state

_TOKENIZER = {'tokenizer': {'kind': str, 'digest': str}}
_IDENTITY = {**_TOKENIZER, 'model': dict, 'optimizer': dict, 'length': int}  # what is read of it


@dataclasses.dataclass(frozen=True)
class FinishedStage:
  """What `load_stage` returns.

  Attributes:
    folder: the stage's folder.
    name: of the stage.
    identity: everything that led to it.
    step: of the run, at the end of the stage.
    checkpoint, ledger: digests of the checkpoint and the ledger with which it was done.
    tokenizer: of the run.
  """

  folder: Path
  name: str
  identity: dict
  step: int
  checkpoint: str
  ledger: str
  tokenizer: Tokenizer

  @property
  def config(self) -> ModelConfig:
    """The decoder; fields that change no number, such as `remat`, have their defaults."""
    return self._described(ModelConfig, 'model')

  @property
  def optimizer(self) -> Optimizer:
    return self._described(Optimizer, 'optimizer')

  def _described(self, kind: type, key: str) -> Any:
    try:
      return kind(**self.identity[key])
    except (KeyError, TypeError, UserError) as error:
      raise UserError(f'{self.folder}/stage.json has no {key} that this version of codemix knows: {error}') from None

  def model(
    self, mesh: Mesh | None = None, *, rules: ShardingRules = RULES, config: ModelConfig | None = None, batch: int | None = None
  ) -> Model:
    """The trained model on a mesh; its parameters are read when they are first used.

    Args:
      mesh: None for all devices, each with a copy of the parameters.
      config: the decoder, if it is to be computed otherwise than `self.config`.
      batch: rows computed at a time; None for one in each of the mesh's batch shards.
    """
    config, mesh = config or self.config, mesh or make_mesh(MeshConfig())

    def restore() -> Params:
      target = abstract_state(config, self.optimizer, Placement(mesh, rules))
      with contextlib.closing(Checkpoints(self.folder / 'checkpoints', read_only=True)) as checkpoints:
        checkpoints.require(self.step, self.checkpoint)
        return checkpoints.restore_params(self.step, target.params)

    length, rows = self.identity['length'], batch or batch_shards(mesh)
    return Model(self.name, self.step, self.checkpoint, config, self.tokenizer, length, rows, mesh, rules, restore)


def load_step(folder: str | Path, step: int, tokenizer: Tokenizer | None = None) -> FinishedStage:
  """Opens a checkpoint of a stage that may still be in training.

  Raises UserError if the folder is not a stage, or has no whole checkpoint of this step.

  Args:
    step: of the run.
    tokenizer: as of `load_stage`.
  """
  folder = as_path(folder)
  stage = read_stage(folder)
  require_unchanged(folder, stage)
  checkpoints = folder / 'checkpoints'
  if not digest_file(checkpoints, step).exists():
    raise UserError(f'{folder} has no whole checkpoint of step {step:,}; it has {", ".join(map(str, whole_steps(folder))) or "none"}.')
  tokenizer = tokenizer or _load_tokenizer(folder, stage)
  return FinishedStage(folder, stage['name'], stage['identity'], step, sealed_digest(checkpoints, step), '', tokenizer)


def whole_steps(folder: Path) -> list[int]:
  """The steps of a stage's whole checkpoints, ascending."""
  checkpoints = folder / 'checkpoints'
  return sorted(step for step in sealed_steps(checkpoints) if (checkpoints / str(step)).is_dir())


class _Folder(NamedTuple):
  """A stage's folder, in the form that `find_stage` takes."""

  path: Path
  name: str
  hash: str


def load_stage(folder: str | Path, tokenizer: Tokenizer | None = None) -> FinishedStage:
  """Opens a finished stage.

  Raises UserError if it is not a stage, is not finished, or is not what its name says.

  Args:
    folder: of the stage; or, beside folders of stages, the name of one or the beginning of its
      hash.
    tokenizer: of the run, if it is loaded already; None loads the copy beside the stages.
  """
  folder, stage, done = read_finished(folder)
  tokenizer = tokenizer or _load_tokenizer(folder, stage)
  return FinishedStage(folder, stage['name'], stage['identity'], done['step'], done['checkpoint'], done['ledger'], tokenizer)


def read_finished(folder: str | Path) -> tuple[Path, dict, dict]:
  """The folder of a finished stage, its stage.json and its done.json.

  Raises UserError, and takes the folder, as `load_stage`; of the tokenizer nothing is read.
  """
  folder = as_path(folder)
  if not (folder / 'stage.json').exists():
    folder = _folder_named(folder)
  stage = read_stage(folder)
  if not (folder / 'done.json').exists():
    raise UserError(f'{folder} is not finished; run the command that trains it again.')
  require_unchanged(folder, stage)
  return folder, stage, read_done(folder)


def require_unchanged(folder: Path, stage: dict) -> None:
  """Checks that a stage.json is what its hash was made from. Raises UserError if it was changed."""
  if stage['hash'] != digest(stage['identity']):
    raise UserError(f'{folder}/stage.json was changed: its hash is not that of its identity. Restore it.')
  if stage['parent'] != stage['identity'].get('parent'):
    raise UserError(f'{folder}/stage.json was changed: its parent is not that of its identity. Restore it.')
  require_form(stage['identity'], {key: form for key, form in _IDENTITY.items() if key in stage['identity']}, folder / 'stage.json')


def _folder_named(path: Path) -> Path:
  """The stage that the last part of a path names: `runs/stages/cooldown` or `runs/cooldown`."""
  if within := _stage_folders(path):
    names = ', '.join(sorted(stage.path.name for stage in within))
    raise UserError(f'{path} is not a stage, it holds {names}. Name one of these folders.')
  if (path / 'config.json').exists():
    raise UserError(f'{path} is a model of transformers, not a stage: `codemix import {path} OUT` makes a stage of it.')
  beside = _stage_folders(path.parent)
  if not beside:
    raise UserError(f'{path} is not a stage: it has no stage.json. Stages lie in OUTPUT/stages/, where OUTPUT is Runtime.output.')
  try:
    return find_stage(path.name, beside).path
  except UserError as error:
    raise UserError(f'{path}: {error}') from None


def _stage_folders(folder: Path) -> list[_Folder]:
  """The stages in an output folder, or in its folder `stages`."""
  written = sorted({*folder.glob('*/stage.json'), *folder.glob('stages/*/stage.json')})
  return [_Folder(file.parent, (stage := read_stage(file.parent))['name'], stage['hash']) for file in written]


def keep_tokenizer(output: Path, tokenizer: Tokenizer, path: Path) -> None:
  """Copies the tokenizer's file beside the stages, which then do not need the data folder."""
  if tokenizer.kind != 'bytes':
    write_bytes(_kept(output, tokenizer.digest, path.suffix), path.read_bytes())


def _load_tokenizer(folder: Path, stage: dict) -> Tokenizer:
  require_form(stage['identity'], _TOKENIZER, folder / 'stage.json')
  expected = stage['identity']['tokenizer']
  # Where it changes text, that was allowed when the stage was trained.
  tokenizer = load_tokenizer(tokenizer_of(folder, stage['identity']), lossy=True)
  if different := list(differences(expected['digest'], tokenizer.digest, 'tokenizer')):
    raise UserError(f'{folder} was trained with another tokenizer: {different[0]}.')
  return tokenizer


def tokenizer_of(folder: Path, identity: dict) -> str | Path:
  """What `load_tokenizer` loads for a stage: 'bytes', or the file that lies beside it."""
  require_form(identity, _TOKENIZER, folder / 'stage.json')
  expected = identity['tokenizer']
  if expected['kind'] == 'bytes':
    return 'bytes'
  if not (suffix := {'bpe': '.json', 'sentencepiece': '.model'}.get(expected['kind'])) or not is_file_name(expected['digest']):
    raise UserError(f'{folder}/stage.json has a tokenizer that this version of codemix does not know: {expected["kind"]!r}, {expected["digest"]!r}.')
  # `codemix import` puts it into the folder itself.
  return folder / f'tokenizer{suffix}' if IMPORTED in identity else _kept(folder.parent.parent, expected['digest'], suffix)


def _kept(output: Path, tokenizer_digest: str, suffix: str) -> Path:
  return output / 'tokenizers' / f'{tokenizer_digest[:SHORT]}{suffix}'
