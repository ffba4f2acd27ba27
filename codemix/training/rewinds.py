"""Going back before a spike of the loss: decided once, written to the stage's `rewinds.json`, and done as a resume is.

The same steps give the same losses, so a process that is killed while it goes back finds the spike again, or the
decision. Checkpoints of the steps that are skipped are deleted before the decision is written: none of those that
remain knows these steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax

from codemix.checkpoints.seal import digest_file, sealed_steps
from codemix.errors import NonFiniteError
from codemix.parallel.coordination import TIMEOUT_S, barrier, decide
from codemix.storage import read_json, remove, write_json
from codemix.training.drawn import Drawn
from codemix.training.skips import Skips, highest_usual_loss

FILE = 'rewinds.json'
STEP_RESULTS = Path('evaluation', 'steps')  # in a stage's folder; `codemix.evaluation`, a level above, writes there


@dataclasses.dataclass(frozen=True)
class Rewind:
  """A spike, and the steps of the stage that are skipped because of it; all are counted from 1.

  Attributes:
    stage_step: whose loss was a spike.
    loss: that loss.
    limit: the highest loss that would have been none.
    first, last: the steps that are skipped.
  """

  stage_step: int
  loss: float
  limit: float
  first: int
  last: int

  def __str__(self) -> str:
    return (
      f'the loss of step {self.stage_step} is {self.loss:.4f}, above {self.limit:.4f}: a spike. The stage goes back, and on the way again '
      f'does not learn from steps {self.first} to {self.last}.'
    )

  def skips(self, stage_step: int) -> bool:
    """Whether this step is one of them."""
    return self.first <= stage_step <= self.last


class SpikeFound(Exception):
  """Ends the steps of a stage, to go back; the stage's loop catches it."""

  def __init__(self, rewind: Rewind):
    super().__init__(rewind)
    self.rewind = rewind


class SpikeGuard:
  """Looks for spikes in the losses of a stage.

  Args:
    skips: of the stage; None looks for none.
    rewinds: decided so far.
    steps: of the stage.
    where: names the stage in an error.
  """

  def __init__(self, skips: Skips | None, rewinds: Sequence[Rewind], steps: int, where: str):
    self._skips, self._rewinds, self._steps, self._where = skips, rewinds, steps, where

  def skips(self, stage_step: int) -> bool:
    """Whether a rewind skips this step."""
    return any(rewind.skips(stage_step) for rewind in self._rewinds)

  def look(self, stage_step: int, loss: float, drawn: Drawn) -> None:
    """Compares the loss of a step that was learned from with those before it, and keeps it for later ones.

    Raises:
      SpikeFound: it is a spike.
      NonFiniteError: it is one, and the stage has gone back as often as it may.
    """
    if not self._skips or not self._skips.rewinds:
      return
    limit = highest_usual_loss(drawn.recent_losses, self._skips)
    if limit is not None and loss > limit:
      if len(self._rewinds) >= self._skips.rewinds:
        raise NonFiniteError(
          f"{self._where}, step {stage_step} of it: the loss is {loss:.4f}, above {limit:.4f} as only a spike is, and the stage has gone back "
          f'{len(self._rewinds)} times. Set Skips.rewinds higher to go on from the last checkpoint, or Stage.schedule to a lower rate.'
        )
      first, last = max(1, stage_step - self._skips.before), min(self._steps, stage_step + self._skips.after)
      raise SpikeFound(Rewind(stage_step, loss, limit, first, last))
    drawn.recent_losses[:] = [*drawn.recent_losses, loss][-self._skips.window :]


def read_rewinds(folder: Path) -> list[dict]:
  """The rewinds of a stage as plain data; none without the file. Raises UserError if it is damaged."""
  form = [{'stage_step': int, 'loss': float, 'limit': float, 'first': int, 'last': int}]
  return read_json(folder / FILE, form, 'Restore it, or delete the folder to train the stage again.') if (folder / FILE).exists() else []


def rewinds_for_all(folder: Path) -> list[Rewind]:
  """Those of `read_rewinds` as process 0 sees them."""
  seen = decide(None if jax.process_index() else read_rewinds(folder), lambda seen: seen[0])
  return [Rewind(**rewind) for rewind in seen]


def go_back(folder: Path, name: str, first_step: int, found: Rewind) -> None:
  """Deletes what knows of the steps that are now skipped, and writes the decision; every process calls it.

  Args:
    folder: of the stage, whose checkpoints this process has closed.
    name: of the barriers.
    first_step: the run's step count when the stage begins.
  """
  barrier(f'spike-{name}', TIMEOUT_S)
  if not jax.process_index():
    _forget(folder, first_step + found.first)
    write_json(folder / FILE, [*read_rewinds(folder), dataclasses.asdict(found)])
  barrier(f'gone back-{name}', TIMEOUT_S)


def _forget(folder: Path, from_step: int) -> None:
  """Deletes the checkpoints and results of steps of the run from this one on."""
  checkpoints = folder / 'checkpoints'
  for step in sealed_steps(checkpoints):
    if step >= from_step:
      remove(digest_file(checkpoints, step))
  for path in (*folder.glob('checkpoints/*'), *folder.glob(f'{STEP_RESULTS}/*')):
    if path.name.isdigit() and int(path.name) >= from_step:
      remove(path)
