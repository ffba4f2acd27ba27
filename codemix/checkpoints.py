"""Checkpoints: Orbax saves and restores; codemix checks what they are.

A stage's folder holds `checkpoints/<step>/` as Orbax writes them, and beside
each a `<step>.digest.json` with the size and sha256 of every file in it, which
is written when the save has been committed. A checkpoint counts from then on:
one without a digest file was cut off, one that does not match it is damaged.
Orbax alone reads `checkpoints/<step>/state` as arrays of NumPy.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import glob
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from jax.experimental import multihost_utils

from codemix.errors import UserError
from codemix.files import make_folder, read_json, write_json, writing
from codemix.identity import differences, digest, file_digest

Tree = Any

STATE, POSITION = 'state', 'position'
ZARRAY = '/.zarray'  # ends the key of what describes an array
_SEAL = {...: list}  # of each file its size and sha256


class Checkpoints:
  """The checkpoints of one stage.

  Args:
    folder: the stage's `checkpoints` folder.
    needed_bytes: the size of one, for the message when the disk is full.
    keep: how many to keep, the newest; None for all.
  """

  def __init__(self, folder: Path, needed_bytes: int = 0, keep: int | None = None):
    self.folder = Path(folder).absolute()
    self._needed_bytes = needed_bytes
    self._alias = contextlib.ExitStack()
    with self._writing():
      self._manager = ocp.CheckpointManager(
        self._alias.enter_context(_safe_for_orbax(self.folder)),
        options=ocp.CheckpointManagerOptions(
          max_to_keep=keep,
          cleanup_tmp_directories=True,
          temporary_path_class=_SealedPath,
        ),
        item_handlers={STATE: _state_handler(), POSITION: ocp.JsonCheckpointHandler()},
      )

  def save(self, step: int, state: Tree, position: dict) -> None:
    """Starts to save; the devices' arrays are copied before it returns, written after.

    Args:
      step: the run's step count.
      state: a pytree of arrays.
      position: plain data: where in the data the run is, and its ledger so far.
    """
    with self._writing():
      self._manager.save(
        step,
        args=ocp.args.Composite(
          **{STATE: ocp.args.PyTreeSave(state), POSITION: ocp.args.JsonSave(position)}
        ),
      )

  def wait(self) -> None:
    """Returns when every save has been committed and sealed.

    Raises:
      UserError: the disk is full or not to be written.
    """
    with self._writing():
      self._manager.wait_until_finished()
    if not jax.process_index():
      _drop_stray_seals(self.folder)

  def newest(self, on_damaged: str, warn: Any) -> int | None:
    """The newest step whose files all match their digests, or None.

    Args:
      on_damaged: 'previous' passes over a damaged checkpoint to the one before
        it, after a warning that names it; 'stop' raises instead.
      warn: called with that warning.

    Raises:
      UserError: a checkpoint is damaged and `on_damaged` is 'stop'.
    """
    # Process 0 decides for all; the others might read what it is just deleting.
    step = None if jax.process_index() else self._newest_good(on_damaged, warn)
    if jax.process_count() > 1:
      step = int(multihost_utils.broadcast_one_to_all(np.int32(-1 if step is None else step)))
      self._manager.reload()
      step = None if step < 0 else step
    return step

  def _newest_good(self, on_damaged: str, warn: Any) -> int | None:
    for step in sorted(self._manager.all_steps(), reverse=True):
      why = damage(self.folder, step)
      if why is None:
        return step
      if on_damaged == 'stop' and _digest_file(self.folder, step).exists():
        raise UserError(
          f"the checkpoint {self.folder / str(step)} is damaged: {why}. Restore it, or set Runtime.on_damaged = 'previous'."
        )
      warn(f'checkpoint {self.folder / str(step)} is passed over: {why}')
      self._discard(step)
    return None

  def require(self, step: int, expected_digest: str) -> None:
    """Checks that a step is there, undamaged, and the very one with that digest.

    Raises:
      UserError: it is not; no other is taken in its place.
    """
    why = damage(self.folder, step) if (self.folder / str(step)).is_dir() else 'it is missing'
    if why is None and self.digest(step) != expected_digest:
      why = 'it is another than the one with which its stage was done'
    if why is not None:
      raise UserError(
        f'the checkpoint {self.folder / str(step)} cannot be used: {why}. Restore it, or delete the folder {self.folder.parent} to train the stage again.'
      )

  def restore_position(self, step: int) -> dict:
    return self._restore(step, **{POSITION: ocp.args.JsonRestore()})[POSITION]

  def restore_state(self, step: int, target: Tree) -> Tree:
    """Reads a state onto the devices.

    Args:
      step: one that `newest` or the stage's result names.
      target: ShapeDtypeStructs with shardings; the mesh may be another than
        that of the save.

    Raises:
      UserError: the checkpoint holds other arrays than `target`.
    """
    return self._restore_arrays(step, target, self._saved_shapes(step))

  def restore_params(self, step: int, target: Tree) -> Tree:
    """Reads the parameters of a state alone: with Adam a third of its bytes.

    Args, Raises: as of `restore_state`, for the parameters.
    """
    saved = {name: shape for name, shape in self._saved_shapes(step).items() if name.startswith('params.')}
    return self._restore_arrays(step, {'params': target}, saved, partial_restore=True)['params']

  def _saved_shapes(self, step: int) -> dict[str, str]:
    return _shapes(self._manager.item_metadata(step)[STATE].tree)

  def _restore_arrays(self, step: int, target: Tree, saved: dict[str, str], **how: Any) -> Tree:
    if different := list(differences(_shapes(target), saved)):
      shown = '; '.join(different[:3]) + (f'; and {len(different) - 3} more' if len(different) > 3 else '')
      raise UserError(f'the checkpoint {self.folder / str(step)} is of another model: {shown}.')
    onto = ocp.checkpoint_utils.construct_restore_args(target)
    return self._restore(step, **{STATE: ocp.args.PyTreeRestore(target, restore_args=onto, **how)})[STATE]

  def digest(self, step: int) -> str:
    """One hash of all files of a sealed checkpoint."""
    return sealed_digest(self.folder, step)

  def close(self) -> None:
    """Waits for what is still being written, and lets go of the folder; raises as `wait`."""
    with self._writing(), self._alias:
      self._manager.close()

  def _restore(self, step: int, **items: Any) -> Any:
    return self._manager.restore(step, args=ocp.args.Composite(**items))

  def delete_before(self, step: int) -> None:
    """Deletes the checkpoints of earlier steps; called by process 0 alone, when a stage is done."""
    for earlier in self._manager.all_steps():
      if earlier < step:
        self._discard(earlier)

  def _discard(self, step: int) -> None:
    _digest_file(self.folder, step).unlink(missing_ok=True)
    shutil.rmtree(self.folder / str(step))
    self._manager.reload()

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    with writing(self.folder, self._needed_bytes):
      try:
        yield
      except ValueError as error:
        # TensorStore tells of a full disk in the text of a ValueError.
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
          raise OSError(int(found[1]), str(error)) from error
        raise


@contextlib.contextmanager
def _safe_for_orbax(folder: Path) -> Iterator[Path]:
  """The folder by a name that Orbax takes for a name: through a link, where its own has what is a pattern or URL to it.

  In a folder `run[12]` Orbax would gather the parts of a checkpoint that lie in `run1`, or none.
  """
  if not (glob.has_magic(str(folder)) or any(odd in str(folder) for odd in ('\\', ':/')) or not _is_text(folder)):
    yield folder
    return
  make_folder(folder)
  with tempfile.TemporaryDirectory(prefix='codemix-checkpoints-') as place:
    link = Path(place) / folder.name
    link.symlink_to(folder, target_is_directory=True)
    yield link


def _is_text(path: Path) -> bool:
  try:
    str(path).encode()
  except UnicodeEncodeError:
    return False
  return True


class _ArraysForAnyone(ocp.type_handlers.ArrayHandler):
  """Writes arrays of devices, and calls them NumPy's: a restore that names no sharding gets them as such.

  As 'jax.Array' only a machine with the devices of the save could restore them without saying where
  to. A restore of codemix says where to, and does not look at the name.
  """

  def typestr(self) -> str:
    return ocp.type_handlers.NumpyHandler().typestr()


class _NamedJaxArray:
  """No value is of this type: its handler reads checkpoints that call their arrays 'jax.Array', as codemix once wrote them."""


def _state_handler() -> ocp.PyTreeCheckpointHandler:
  """Writes arrays as they are, and nothing that a restore does not read: a third less work beside the steps."""
  settings = {'enable_write_sharding_file': False, 'array_metadata_store': None}  # restored onto the mesh of the day
  return ocp.PyTreeCheckpointHandler(
    # Trained weights have few bits to spare: zstd takes 7% off them, in a quarter of the time of a save.
    use_compression=False,
    type_handler_registry=ocp.type_handlers.create_type_handler_registry(
      (jax.Array, _ArraysForAnyone(**settings)),
      (np.ndarray, ocp.type_handlers.NumpyHandler()),
      (_NamedJaxArray, ocp.type_handlers.ArrayHandler(**settings)),
    ),
  )


class _SealedPath(ocp.path.atomicity.AtomicRenameTemporaryPath):
  """Seals a checkpoint when Orbax has committed it, and before it deletes an older one for it."""

  async def finalize(self) -> None:
    # The items inside a checkpoint are committed in the same way.
    if self.get_final().name == STATE:
      await asyncio.to_thread(_describe_state, Path(self.get()))
    await super().finalize()
    committed = Path(self.get_final())
    if committed.name.isdigit():
      await asyncio.to_thread(_seal, committed)


def _describe_state(folder: Path) -> None:
  """Says in the state's own folder what wrote it: Orbax says it one folder above, and warns who opens the state alone."""
  write_json(folder / '_CHECKPOINT_METADATA', {'item_handlers': ocp.PyTreeCheckpointHandler.typestr()})


def _seal(checkpoint: Path) -> None:
  _require_every_chunk(checkpoint / STATE)
  write_json(_digest_file(checkpoint.parent, int(checkpoint.name)), dict(_file_digests(checkpoint)))
  _drop_stray_seals(checkpoint.parent)


def _require_every_chunk(state: Path) -> None:
  """Each array has all of its chunks; a restore would fill others with zeros.

  Raises:
    UserError: some are missing, as where a process has written them into another folder.
    NotImplementedError: Orbax has written another format than zarr 2, whose chunks this function cannot count.
  """
  store = ts.KvStore.open({'driver': 'ocdbt', 'base': state.as_uri()}).result()
  keys = [key.decode() for key in store.list().result()]
  found = collections.Counter(name.rpartition('/')[0] for name in keys if not name.endswith(ZARRAY))
  for name in (key.removesuffix(ZARRAY) for key in keys if key.endswith(ZARRAY)):
    array = json.loads(store.read(f'{name}{ZARRAY}').result().value)
    chunks = math.prod(-(-size // chunk) for size, chunk in zip(array['shape'], array['chunks'], strict=True))
    if (there := found.pop(name, 0)) != chunks:
      raise UserError(
        f'the checkpoint {state.parent} lacks {chunks - there} of the {chunks} parts of {name}: all processes must write to the same folder.'
      )
  if found or not keys:
    raise NotImplementedError(f'{state} holds {next(iter(found), "nothing")}, and no array of zarr 2 that has it, so its chunks cannot be counted')


def _drop_stray_seals(folder: Path) -> None:
  """Removes the digest files of checkpoints that Orbax has deleted since."""
  for seal in folder.glob('*.digest.json'):
    if not (folder / seal.name.split('.')[0]).exists():
      seal.unlink()


def damage(folder: Path, step: int) -> str | None:
  """What is wrong with a checkpoint, or None.

  Args:
    folder: a stage's `checkpoints` folder.
    step: which one.
  """
  seal = _digest_file(folder, step)
  if not seal.exists():
    return 'it was not completely written'
  try:
    expected = read_json(seal, _SEAL)
  except UserError:
    return f'its digest file {seal.name} cannot be read'
  found = dict(_file_digests(folder / str(step)))
  different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
  if not different:
    return None
  name = different[0]
  state = 'is missing' if name not in found else 'was added' if name not in expected else 'has changed'
  return f'its file {name} {state}'


def sealed_digest(folder: Path, step: int) -> str:
  """One hash of all files of a sealed checkpoint, as they were when it was written."""
  return digest(read_json(_digest_file(folder, step), _SEAL))


def _digest_file(folder: Path, step: int) -> Path:
  return Path(folder) / f'{step}.digest.json'


def _file_digests(folder: Path) -> Iterator[tuple[str, list]]:
  for path in sorted(folder.rglob('*')):
    if path.is_file():
      yield str(path.relative_to(folder)), [path.stat().st_size, file_digest(path)]


def _shapes(tree: Tree) -> dict[str, str]:
  """'params.layers.norm.scale' -> 'float32[3,96]' for each array of a tree."""
  # Orbax gives back named tuples as dicts, so a path is told by its names alone.
  name = lambda key: str(getattr(key, 'name', getattr(key, 'key', getattr(key, 'idx', key))))
  return {
    '.'.join(map(name, path)): f'{leaf.dtype}{list(leaf.shape)}'.replace(' ', '')
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
