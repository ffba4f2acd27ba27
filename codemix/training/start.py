"""The model that a recipe begins with, if it is not a random initialisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from codemix.data.batches.source import Cursor
from codemix.training.curves import Curve

IMPORTED = 'imported'  # key of the identity that `codemix import` writes


@dataclasses.dataclass(frozen=True)
class Read:
  """How far a source was read, and in which rows.

  Attributes:
    data: digest of the source's tokens.
    length: tokens of a row; the rows of `cursor` are of this length.
    seed: of the run, which keys the order of the rows.
    cursor: as in `Cursor`, in rows.
  """

  data: str
  length: int
  seed: int
  cursor: Cursor

  def as_json(self) -> dict:
    return {'data': self.data, 'length': self.length, 'seed': self.seed, **dataclasses.asdict(self.cursor)}


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
  """A finished stage or an imported model, as the stage before the first one of a recipe.

  Attributes:
    folder: where it lies; no part of an identity.
    name: of the stage, or of the imported folder.
    identity: everything that led to it.
    hash: digest of the identity.
    checkpoint: digest of the checkpoint's files.
    ledger: what the ledger of the first stage is chained to: the ledger's digest; for an imported
      model, of which no ledger is known, its hash.
    last_step: the run's step count at its end; 0 for an imported model.
    rate: the learning rate of its last step; None of an imported model.
    rest: the curve that a stage without a schedule goes on along; None if it is not known.
    read: how far it and the stages before it read each source, as they recorded it.
    read_all: whether `read` has all of these sources; False after stages that an earlier version trained.
    cursors: the same in rows of the recipe that begins here; sources of other data are left out.
    remarks: what a user should know about it, a sentence each.
  """

  folder: Path
  name: str
  identity: Mapping
  hash: str
  checkpoint: str
  ledger: str
  last_step: int
  rate: float | None
  rest: Curve | None
  read: Mapping[str, Read]
  read_all: bool
  cursors: Mapping[str, Cursor] = dataclasses.field(default_factory=dict)
  remarks: tuple[str, ...] = ()

  @property
  def imported(self) -> bool:
    """Whether `codemix import` wrote it; then it has parameters and nothing else."""
    return IMPORTED in self.identity

  @property
  def kind(self) -> str:
    """What it is, in a few words."""
    return 'an imported model' if self.imported else 'a finished stage'

  def cursors_after(self) -> dict[str, Cursor]:
    return dict(self.cursors)

  def read_after(self) -> dict[str, Read]:
    return dict(self.read)

  def describe(self) -> dict:
    """What stage.json and study.json say about it; not hashed."""
    return {
      'folder': str(self.folder),
      'name': self.name,
      'hash': self.hash,
      'checkpoint': self.checkpoint,
      'imported': self.imported,
      'step': self.last_step,
      'remarks': list(self.remarks),
    }

  @property
  def fix(self) -> str:
    """What to do if a file of it is damaged."""
    return 'Import it again with `codemix import`.' if self.imported else 'Restore it, or train that stage again.'
