"""A finished stage by its folder alone: the model, the tokenizer and the one checkpoint it was done with."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from jax.sharding import Mesh

from codemix.checkpoints import Checkpoints
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError
from codemix.files import write_bytes
from codemix.identity import differences, digest
from codemix.models.config import ModelConfig
from codemix.studies.stage_names import find_stage
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.stage_record import read_done, read_stage
from codemix.training.train_state import Tree, abstract_state


@dataclasses.dataclass(frozen=True)
class FinishedStage:
  """What `open_stage` found.

  Attributes:
    folder: the stage's folder.
    identity: everything that led to it.
    done: its step, and the digests of its checkpoint and ledger.
    tokenizer: of the run.
  """

  folder: Path
  identity: dict
  done: dict
  tokenizer: Tokenizer

  @property
  def model(self) -> ModelConfig:
    return ModelConfig(**self.identity['model'])

  def restore_params(self, mesh: Mesh) -> Tree:
    """The parameters, on a mesh.

    Raises:
      UserError: the checkpoint is missing, damaged, or another's.
    """
    target = abstract_state(self.model, Optimizer(**self.identity['optimizer']), Placement(mesh))
    step = self.done['step']
    with contextlib.closing(Checkpoints(self.folder / 'checkpoints')) as checkpoints:
      checkpoints.require(step, self.done['checkpoint'])
      return checkpoints.restore_params(step, target.params)


@dataclasses.dataclass(frozen=True)
class _Folder:
  """A stage's folder with what `find_stage` asks for."""

  path: Path
  name: str
  hash: str


def open_stage(folder: Path) -> FinishedStage:
  """Opens a finished stage.

  Args:
    folder: of the stage; or, beside folders of stages, the name of one or the beginning of its hash.

  Raises:
    UserError: it is not a stage, is not finished, or is not what its name says.
  """
  if not (folder / 'stage.json').exists():
    folder = _folder_named(folder)
  stage = read_stage(folder)
  if not (folder / 'done.json').exists():
    raise UserError(f'{folder} is not finished; run the command that trains it again.')
  if stage['hash'] != digest(stage['identity']):
    raise UserError(f'{folder}/stage.json was changed: its hash is not that of its identity. Restore it.')
  return FinishedStage(folder, stage['identity'], read_done(folder), _tokenizer(folder, stage))


def _folder_named(path: Path) -> Path:
  """The folder of the stage that the last part of a path names, as in `runs/stages/cooldown` or `runs/cooldown`."""
  if within := _stage_folders(path):
    called = ', '.join(sorted(stage.path.name for stage in within))
    raise UserError(f'{path} is not a stage, it holds {called}. Name one of these folders.')
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
  """Keeps a copy of the tokenizer's file beside the stages, so that they can be used by themselves."""
  if tokenizer.kind != 'bytes':
    write_bytes(_kept(output, tokenizer.digest, path.suffix), path.read_bytes())


def _tokenizer(folder: Path, stage: dict) -> Tokenizer:
  expected = stage['identity']['tokenizer']
  if expected['kind'] == 'bytes':
    return load_tokenizer('bytes')
  suffix = {'bpe': '.json', 'sentencepiece': '.model'}[expected['kind']]
  # What it changes was allowed when the stage was trained.
  tokenizer = load_tokenizer(_kept(folder.parent.parent, expected['digest'], suffix), lossy=True)
  if different := list(differences(expected['digest'], tokenizer.digest, 'tokenizer')):
    raise UserError(f'{folder} was trained with another tokenizer: {different[0]}.')
  return tokenizer


def _kept(output: Path, tokenizer_digest: str, suffix: str) -> Path:
  return output / 'tokenizers' / f'{tokenizer_digest[:12]}{suffix}'
