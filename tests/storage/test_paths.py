"""One door tells a disk from a bucket, and refuses what is neither."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from codemix.errors import UserError
from codemix.storage import absolute, as_path, child, is_remote


@pytest.mark.parametrize('text', ['runs', '/a/b', 'a:b', 'C:/x', '~/x', 'gs-1/x', './gs'])
def test_a_local_path_is_a_path(text):
  assert as_path(text) == Path(text) and not is_remote(text)


def test_a_file_url_is_local():
  assert as_path('file:///a%20b/c') == Path('/a b/c')


def test_a_bucket_has_the_methods_of_a_path_and_is_no_local_one():
  path = as_path('gs://bucket/run/')
  assert is_remote(path) and as_path(path) is path
  assert str(path) == 'gs://bucket/run' and str(path / 'x.json') == 'gs://bucket/run/x.json'
  assert (path.name, (path / 'x').parent, path.absolute()) == ('run', path, path) and absolute('gs://bucket/run') == path
  assert pickle.loads(pickle.dumps(path)) == path
  with pytest.raises(TypeError):
    os.fspath(path)
  with pytest.raises(TypeError):
    open(path)  # noqa: SIM115 (it refuses)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('hdfs://a/b', "'hdfs://a/b' is of no storage that codemix knows: a path is local, or begins with gs:// or s3://."),
    ('gcs://a/b', r'Did you mean .gs.\?'),
    ('gs://', 'names no bucket; write gs://BUCKET/FOLDER'),
    ('gs:/bucket/x', 'names no bucket; write gs://BUCKET/FOLDER'),
    ('gs:///x', 'names no bucket'),
    ('gs://b/../c', "has '.' or '..' as a part"),
  ],
)
def test_a_mistyped_url_is_refused(text, message):
  with pytest.raises(UserError, match=message):
    as_path(text)


def test_a_child_may_be_absolute_or_of_a_bucket():
  assert child(Path('/data'), 'a.json') == Path('/data/a.json')
  assert child(Path('/data'), '/b.json') == Path('/b.json')
  assert str(child(Path('/data'), 'gs://bucket/c.json')) == 'gs://bucket/c.json'
  assert child(as_path('gs://bucket/d'), '/e.json') == Path('/e.json')
