"""Saves, finds and restores the checkpoints of a stage, through Orbax."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from codemix.checkpoints.array_digests import array_digests, first_difference, named
from codemix.checkpoints.orbax_folder import safe_for_orbax
from codemix.checkpoints.orbax_state import SealedPath, SealedPrefix, state_handler
from codemix.checkpoints.seal import (
  STATE,
  damage,
  digest_file,
  drop_stray_seals,
  lost_steps,
  sealed_digest,
)
from codemix.errors import UserError, of_collective
from codemix.identity import differences
from codemix.storage import as_path, is_remote, remove, require_form, writing
from codemix.storage.outages import outage

Tree = Any

POSITION = 'position'
ARRAYS = 'array_digests'  # the key of what `array_digests` gave, beside the position; an earlier codemix wrote none
POLL_S = 0.01
# Not those of a full memory or disk, nor of JAX.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, AssertionError, NotImplementedError, OverflowError)


class _Manager(ocp.CheckpointManager):
  """Orbax's, which a save that fails in one process does not stop for minutes, and which knows that folders of a bucket may vanish.

  Orbax keeps the error of a save in the background until all processes have met, and the others meet only when the save is whole: so
  all wait for its time-out.
  """

  has_raised = False  # what `wait_here` raised; from then on nothing may be waited for

  def __init__(self, folder: Path | epath.Path, options: ocp.CheckpointManagerOptions, item_handlers: dict[str, Any]):
    self._failure: BaseException | None = None
    options = dataclasses.replace(options, async_options=ocp.options.AsyncOptions(barrier_sync_fn=self._meet))
    super().__init__(folder, options=options, item_handlers=item_handlers)

  def _meet(self, *, key: str, timeout_ms: int) -> None:
    """Waits for the other processes. The thread that ends a save also does so after an error, while that is on its way up."""
    if threading.current_thread() is not threading.main_thread():
      self._failure = self._failure or sys.exception()
    ocp.multihost.get_barrier_sync_fn()(key=key, timeout_ms=timeout_ms)

  def _load_checkpoint_infos(self, *arguments: Any, **named: Any) -> list:
    # A bucket has no empty folders: between the question whether it is there and its listing, process 0 may have cleaned up all that a kill left in it.
    try:
      return super()._load_checkpoint_infos(*arguments, **named)
    except FileNotFoundError:
      if not is_remote(str(self.directory)):
        raise
      return super()._load_checkpoint_infos(*arguments, **named)

  def wait_here(self) -> None:
    """Waits for the saves; of several processes, one raises its own error at once."""
    while jax.process_count() > 1 and self.is_saving_in_progress() and self._failure is None:
      time.sleep(POLL_S)
    if jax.process_count() > 1 and self._failure is not None:
      self.has_raised = True
      raise self._failure
    self.wait_until_finished()


class Checkpoints:
  """The checkpoints of one stage.

  Args:
    folder: the stage's `checkpoints` folder.
    needed_bytes: the size of one, for the message when the disk is full.
    keep: how many of the newest to keep; None for all.
    keep_every: those of steps of the run that are multiples of it are kept too.
    read_only: for a folder into which another process may be writing: nothing is written or cleaned up.
  """

  def __init__(self, folder: Path, needed_bytes: int = 0, keep: int | None = None, read_only: bool = False, keep_every: int | None = None):
    self.folder = as_path(folder).absolute()
    self._needed_bytes, self._keep_every = needed_bytes, keep_every
    self._alias = contextlib.ExitStack()
    with self._reading(self.folder), self._writing():
      self._manager = _Manager(
        self._alias.enter_context(safe_for_orbax(self.folder)),
        options=ocp.CheckpointManagerOptions(
          max_to_keep=None if read_only else keep,
          keep_period=keep_every,
          # Orbax's own read_only means the same, and warns of it each time.
          cleanup_tmp_directories=not read_only,
          create=not read_only,
          temporary_path_class=SealedPrefix if is_remote(self.folder) else SealedPath,
        ),
        item_handlers={STATE: state_handler(), POSITION: ocp.JsonCheckpointHandler()},
      )

  def save(self, step: int, state: Tree, position: dict) -> None:
    """Starts a save; the arrays are copied from the devices before it returns, and written after.

    Args:
      step: the run's step count.
      state: a pytree of arrays.
      position: plain data: the run's place in the data, and its ledger so far.
    """
    with self._writing():
      self._manager.wait_here()
      self._manager.save(
        step,
        args=ocp.args.Composite(
          **{STATE: ocp.args.PyTreeSave(state), POSITION: ocp.args.JsonSave({**position, ARRAYS: array_digests(state)})}
        ),
      )

  def wait(self) -> None:
    """Waits until every save is committed and sealed.

    Raises UserError if the disk is full or cannot be written.
    """
    with self._writing():
      self._manager.wait_here()
    if not jax.process_index():
      drop_stray_seals(self.folder)

  def newest(self, on_damaged: str, warn: Any) -> int | None:
    """The newest step whose files all match their digests, or None.

    Raises UserError if a checkpoint is damaged and `on_damaged` is 'stop'.

    Args:
      on_damaged: 'previous' deletes a damaged checkpoint with a warning, and takes
        the one before it; 'stop' raises instead.
      warn: called with that warning.
    """
    # Process 0 decides for all; the others might read a checkpoint that it is deleting.
    step = None if jax.process_index() else self._newest_good(on_damaged, warn)
    if jax.process_count() > 1:
      step = int(multihost_utils.broadcast_one_to_all(np.int32(-1 if step is None else step)))
      self._manager.reload()
      step = None if step < 0 else step
    return step

  def _newest_good(self, on_damaged: str, warn: Any) -> int | None:
    listed = set(self._manager.all_steps())
    lost = lost_steps(self.folder, listed)  # in a bucket also those without the mark of being whole, by which Orbax lists them
    for step in sorted(listed | lost, reverse=True):
      why = 'it was saved, and is missing or not whole' if step in lost else damage(self.folder, step)
      if why is None:
        return step
      if on_damaged == 'stop' and digest_file(self.folder, step).exists():
        raise UserError(
          f"the checkpoint {self.folder / str(step)} is damaged: {why}. Restore it, or set Runtime.on_damaged = 'previous'."
        )
      warn(f'checkpoint {self.folder / str(step)} is passed over: {why}')
      self._discard(step)
    return None

  def require(self, step: int, expected_digest: str) -> None:
    """Checks that a checkpoint exists, is undamaged, and has this digest.

    Raises UserError if it does not.
    """
    why = damage(self.folder, step) if (self.folder / str(step)).is_dir() else 'it is missing'
    if why is None and self.digest(step) != expected_digest:
      why = 'it is another than the one with which its stage was done'
    if why is not None:
      raise UserError(
        f'the checkpoint {self.folder / str(step)} cannot be used: {why}. Restore it, or delete the folder {self.folder.parent} to train the stage again.'
      )

  def restore_position(self, step: int) -> dict:
    position = self._saved_position(step)
    return {key: value for key, value in position.items() if key != ARRAYS} if isinstance(position, dict) else position

  def _saved_position(self, step: int) -> Any:
    return self._restore(step, **{POSITION: ocp.args.JsonRestore()})[POSITION]

  def restore_state(self, step: int, target: Tree) -> Tree:
    """Reads a state onto the devices.

    Raises UserError if the checkpoint has other arrays than `target`, or one that on the devices is not what was saved.

    Args:
      step: from `newest`, or the stage's result.
      target: ShapeDtypeStructs with shardings, on any mesh.
    """
    return self._restore_arrays(step, target, self._saved_shapes(step))

  def restore_params(self, step: int, target: Tree) -> Tree:
    """Reads only the parameters of a state: with Adam a third of its bytes.

    Args, Raises: as in `restore_state`, for the parameters.
    """
    saved = {name: shape for name, shape in self._saved_shapes(step).items() if name.startswith('params.')}
    return self._restore_arrays(step, {'params': target}, saved, partial_restore=True)['params']

  def _saved_shapes(self, step: int) -> dict[str, str]:
    with self._reading(self.folder / str(step)):
      return _shapes(self._manager.item_metadata(step)[STATE].tree)

  def _restore_arrays(self, step: int, target: Tree, saved: dict[str, str], **how: Any) -> Tree:
    if different := list(differences(_shapes(target), saved)):
      shown = '; '.join(different[:3]) + (f'; and {len(different) - 3} more' if len(different) > 3 else '')
      raise UserError(f'the checkpoint {self.folder / str(step)} is of another model: {shown}.')
    onto = ocp.checkpoint_utils.construct_restore_args(target)
    restored = self._restore(step, **{STATE: ocp.args.PyTreeRestore(target, restore_args=onto, **how)})[STATE]
    self._require_as_saved(step, restored)
    return restored

  def _require_as_saved(self, step: int, restored: Tree) -> None:
    path, position = self.folder / str(step), self._saved_position(step)
    if not isinstance(position, dict) or ARRAYS not in position:
      return
    require_form(position, {ARRAYS: {...: str}}, path)
    if name := first_difference(restored, position[ARRAYS]):
      raise UserError(
        f'the array {name} of step {step}, restored from the checkpoint {path}, is not the one that was saved. If its files are as they were written (`codemix verify`), '
        'the fault is in memory, a link or a library of this machine or of the one that saved it: try again, on another machine.'
      )

  def digest(self, step: int) -> str:
    """One hash of all files of a sealed checkpoint."""
    return sealed_digest(self.folder, step)

  def close(self) -> None:
    """Waits for running saves, and closes the folder; raises like `wait`."""
    with self._writing(), self._alias:
      if not self._manager.has_raised:
        self._manager.wait_here()
        self._manager.close()

  def _restore(self, step: int, **items: Any) -> Any:
    with self._reading(self.folder / str(step)):
      return self._manager.restore(step, args=ocp.args.Composite(**items))

  def delete_before(self, step: int) -> None:
    """Deletes the checkpoints of earlier steps but those of `keep_every`; process 0 calls it when a stage is finished."""
    for earlier in self._manager.all_steps():
      if earlier < step and not (self._keep_every and earlier % self._keep_every == 0):
        self._discard(earlier)

  def _discard(self, step: int) -> None:
    remove(digest_file(self.folder, step))
    remove(self.folder / str(step))
    self._manager.reload()

  @contextlib.contextmanager
  def _reading(self, path: Path) -> Iterator[None]:
    """Turns what Orbax and TensorStore raise for files that are not a checkpoint's into a UserError that names `path`.

    Damage is found before, by the digests; files whose digests fit need not come from codemix.
    """
    try:
      yield
    except Exception as error:
      if of_collective(error):  # a lost process is no damage
        raise
      if is_remote(path) and (found := outage(error, path)):  # TensorStore reports a bucket that is away as a ValueError, too
        raise found from error
      if not isinstance(error, _UNREADABLE) and type(error) is not Exception:  # Orbax raises plain ones too
        raise
      said = ' '.join(str(error).split())[:300]
      raise UserError(f'the checkpoint {path} cannot be read ({type(error).__name__}: {said}). Restore it.') from error

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    with writing(self.folder, self._needed_bytes):
      try:
        yield
      except ValueError as error:
        # TensorStore reports a full disk in the text of a ValueError.
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
          raise OSError(int(found[1]), str(error)) from error
        raise


def _shapes(tree: Tree) -> dict[str, str]:
  """'params.layers.norm.scale' -> 'float32[3,96]' for each array of a tree."""
  return {name: f'{leaf.dtype}{list(leaf.shape)}'.replace(' ', '') for name, leaf in named(tree).items()}
