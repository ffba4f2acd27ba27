"""Parses the groups of devices of a collective, in each notation of HLO's `replica_groups`."""

from __future__ import annotations

import re

import numpy as np

_LISTS = re.compile(r'replica_groups=\{(\{[\d,{} ]*\})?\}')
_IOTA = re.compile(r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?')
_MESH = re.compile(
  r"replica_groups=@?\w*mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? *\{([^}]*)\}"
)
_AXIS = re.compile(r"'?([\w.\-]+)'?=(\d+)")
_REFERENCE = re.compile(r"'([\w.\-]+)'(?::\((\d+)\)(\d+))?")
_PAIRS = re.compile(r'source_target_pairs=\{(\{[\d,{} ]*\})\}')


def groups_of(attributes: str, devices: int) -> np.ndarray | None:
  """int [groups, size]: the device numbers of each group in a collective's attributes.

  Devices are numbered as in the program's device assignment. A row of a permutation is (source,
  target). Returns None if the notation is unknown or the groups differ in size.
  """
  if found := _PAIRS.search(attributes):
    return _rows(found[1])
  if found := _MESH.search(attributes):
    return _of_mesh(found, devices)
  if found := _IOTA.search(attributes):
    return _iota(found[2], found[3]).reshape(_numbers(found[1]))
  if found := _LISTS.search(attributes):
    return _rows(found[1]) if found[1] else np.arange(devices)[None]
  return None


def _rows(text: str) -> np.ndarray | None:
  rows = [_numbers(row) for row in re.findall(r'\{([\d, ]*)\}', text)]
  return np.asarray(rows) if len({len(row) for row in rows}) == 1 else None


def _of_mesh(found: re.Match, devices: int) -> np.ndarray:
  """Groups along axes of a mesh, or along a part of an axis: 'axis':(before)size."""
  axes = {name: int(size) for name, size in _AXIS.findall(found[1])}
  wanted = [
    (name, int(before or 1), int(size or axes[name])) for name, before, size in _REFERENCE.findall(found[4])
  ]
  parts = []  # (axis, product of the sizes of the parts of the axis before this one, size)
  for name, size in axes.items():
    cuts = sorted({1, size, *(b for n, b, _ in wanted if n == name), *(b * s for n, b, s in wanted if n == name)})
    parts += [(name, before, after // before) for before, after in zip(cuts, cuts[1:], strict=False)] or [(name, 1, 1)]
  grouped = [
    i for i, (name, before, size) in enumerate(parts)
    if any(n == name and b <= before and before * size <= b * s for n, b, s in wanted)
  ]
  order = [i for i in range(len(parts)) if i not in grouped] + grouped
  ids = _iota(found[2], found[3]) if found[2] else np.arange(devices)
  members = int(np.prod([parts[i][2] for i in grouped], dtype=int))
  return ids.reshape([size for *_, size in parts]).transpose(order).reshape(-1, members)


def _iota(shape: str, permutation: str | None) -> np.ndarray:
  sizes = _numbers(shape)
  ids = np.arange(np.prod(sizes)).reshape(sizes)
  return (ids.transpose(_numbers(permutation)) if permutation else ids).ravel()


def _numbers(text: str) -> list[int]:
  return [int(number) for number in text.replace(' ', '').split(',') if number]
