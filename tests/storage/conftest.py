"""A folder on a disk, and one in a bucket."""

from __future__ import annotations

import itertools

import pytest

from codemix.storage import as_path

_numbers = itertools.count()


@pytest.fixture(params=['disk', 'bucket'])
def place(request, tmp_path):
  """An empty folder on each kind of storage."""
  return tmp_path if request.param == 'disk' else request.getfixturevalue('bucket_folder')


@pytest.fixture
def bucket_folder(bucket):
  """An empty folder in the bucket."""
  return as_path(f'{bucket}/folder-{next(_numbers)}')
