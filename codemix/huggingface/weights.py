"""The safetensors files of a folder: written in shards with an index, read with their shapes checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from codemix.errors import UserError, nearest
from codemix.storage import is_file_name, read_json, write_json, writing

ONE_FILE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
DTYPES = {'float32': np.dtype(np.float32), 'bfloat16': np.dtype(ml_dtypes.bfloat16)}
_READ = {'F32': 'float32', 'BF16': 'bfloat16', 'F16': 'float16', 'F64': 'float64'}
_OTHER_FORMATS = ('*.bin', '*.pt', '*.pth', '*.ckpt', '*.h5', '*.msgpack', '*.gguf')


def write_weights(folder: Path, tensors: Iterable[tuple[str, np.ndarray]], sizes: Mapping[str, int], dtype: str, shard_bytes: int) -> None:
  """Writes tensors in one file, or in several with an index.

  Holds one shard in memory.

  Args:
    tensors: names and values, each once.
    sizes: numbers of each tensor by name, in the order of `tensors`.
    dtype: a key of `DTYPES`.
    shard_bytes: the most bytes of a shard; a larger tensor has one of its own.
  """
  shards = _shards(sizes, DTYPES[dtype].itemsize, shard_bytes)
  if len(shards) == 1:
    files = [ONE_FILE]
  else:
    files = [f'model-{n:05}-of-{len(shards):05}.safetensors' for n in range(1, len(shards) + 1)]
  waiting = iter(tensors)
  for file, names in zip(files, shards, strict=True):
    shard = dict(next(waiting) for _ in names)
    assert list(shard) == names, 'the tensors come in another order than their sizes'
    _save(folder / file, {name: np.ascontiguousarray(a, DTYPES[dtype]) for name, a in shard.items()})
  if len(shards) > 1:
    total = sum(sizes.values()) * DTYPES[dtype].itemsize
    weight_map = {name: file for file, names in zip(files, shards, strict=True) for name in names}
    write_json(folder / INDEX, {'metadata': {'total_size': total}, 'weight_map': weight_map})


def _save(path: Path, tensors: dict[str, np.ndarray]) -> None:
  with writing(path):
    try:
      save_file(tensors, path, metadata={'format': 'pt'})  # torch's loaders ask for the format
    except SafetensorError as error:  # a full disk, for example
      raise UserError(f'cannot write {path}: {error}. Free some space, or choose another folder.') from None


def _shards(sizes: Mapping[str, int], itemsize: int, shard_bytes: int) -> list[list[str]]:
  shards: list[list[str]] = [[]]
  filled = 0
  for name, size in sizes.items():
    if shards[-1] and filled + size * itemsize > shard_bytes:
      shards.append([])
      filled = 0
    shards[-1].append(name)
    filled += size * itemsize
  return shards


@dataclasses.dataclass(frozen=True)
class Weights:
  """The safetensors of a folder, opened.

  Attributes:
    folder: of the files.
    files: the file of each tensor by name.
    shapes: of each tensor by name.
    dtypes: 'float32', 'bfloat16', 'float16' or 'float64', by name.
  """

  folder: Path
  files: dict[str, str]
  shapes: dict[str, tuple[int, ...]]
  dtypes: dict[str, str]

  def read(self, name: str) -> np.ndarray:
    """One tensor, in the type in which it is stored."""
    with _opened(self.folder / self.files[name]) as file:
      return file.get_tensor(name)

  def require(self, expected: Mapping[str, tuple[int, ...]], ignored: Iterable[str] = ()) -> None:
    """Checks names and shapes before anything is read.

    Raises UserError: a tensor is missing, is not expected, or has another shape.

    Args:
      expected: shapes by name.
      ignored: ends of names that may be there besides.
    """
    missing = [name for name in expected if name not in self.shapes]
    extra = [name for name in self.shapes if name not in expected and not name.endswith(tuple(ignored))]
    if missing or extra:
      told = [f'{what} {_some(names)}' for what, names in (('lacks', missing), ('has besides', extra)) if names]
      hint = nearest(missing[0], extra) if missing and extra else ''
      raise UserError(f'the weights in {self.folder} are not those that its config.json describes: it {" and ".join(told)}.{hint}')
    for name, shape in expected.items():
      if self.shapes[name] != shape:
        raise UserError(
          f'{self.folder / self.files[name]}: {name} is {_shape(self.shapes[name])}, and config.json describes {_shape(shape)}. Correct config.json.'
        )


def open_weights(folder: Path) -> Weights:
  """Opens the safetensors of a folder: one file, or those of its index; reads no tensor.

  Raises UserError: there are none (files of pickle are not read), one is missing or damaged, or a
  tensor's type is not one of floating-point numbers.
  """
  index, one = folder / INDEX, folder / ONE_FILE
  if index.exists():
    weight_map = read_json(index, {'weight_map': {...: str}}, fix='Download it again.')['weight_map']
  elif one.exists():
    weight_map = None
  else:
    raise UserError(_no_weights(folder))
  files = sorted(set(weight_map.values())) if weight_map else [ONE_FILE]
  if (strange := next((file for file in files if not is_file_name(file)), None)) is not None:
    raise UserError(f'{index} names {strange!r}, which is not in {folder}: download it again.')
  found = Weights(folder, {}, {}, {})
  for file in files:
    with _opened(folder / file) as opened:
      for name in opened.keys():  # noqa: SIM118 (not a dict)
        part = opened.get_slice(name)
        if (stored := part.get_dtype()) not in _READ:
          raise UserError(f'{folder / file}: {name} is stored as {stored}; codemix reads {", ".join(_READ.values())}.')
        if weight_map is not None and weight_map.get(name) != file:
          raise UserError(f'{folder / file} has {name}, which {INDEX} places in {weight_map.get(name, "no file")}. Download the folder again.')
        found.files[name], found.shapes[name], found.dtypes[name] = file, tuple(part.get_shape()), _READ[stored]
  if weight_map and (lost := [name for name in weight_map if name not in found.files]):
    raise UserError(f'{folder / weight_map[lost[0]]} lacks {_some(lost)}, which {INDEX} places there. Download the folder again.')
  return found


def _opened(path: Path):
  try:
    return safe_open(path, 'numpy')
  except FileNotFoundError:
    raise UserError(f'{path} does not exist, and {INDEX} names it: download it.') from None
  except (SafetensorError, OSError) as error:
    raise UserError(f'{path} is damaged: {error}. Download it again.') from None


def _no_weights(folder: Path) -> str:
  others = sorted(path.name for pattern in _OTHER_FORMATS for path in folder.glob(pattern))
  if not others:
    return f'{folder} has no weights: it needs {ONE_FILE}, or {INDEX} with the files that it names.'
  return (
    f'{folder} has its weights in {_some(others)} and not in {ONE_FILE}: codemix reads safetensors only, since loading a pickle runs '
    'code that it may contain. Download the safetensors, or save the model again with `safe_serialization=True` in transformers.'
  )


def _some(names: list[str]) -> str:
  return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def _shape(shape: tuple[int, ...]) -> str:
  return f'[{", ".join(map(str, shape))}]'
