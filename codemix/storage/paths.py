"""Paths of a disk or of a bucket.

A local path is a `pathlib.Path`; `gs://bucket/x` and `s3://bucket/x` are `upath.UPath`s, which have the same methods. A UPath is
not `os.PathLike`: `open(path)` and `np.load(path)` refuse it, so they cannot read a bucket by accident as a local folder `gs:`.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from codemix.errors import UserError, nearest

SCHEMES = {'gs': ('gcsfs', 'gcs'), 's3': ('s3fs', 's3')}  # the package that reads each, and the extra of codemix that installs it
# Of etils, through which Orbax lists a bucket: with fsspec, also where TensorFlow is installed.
os.environ.setdefault('EPATH_USE_TF', 'false')
# Of gcsfs: else it asks for each bucket's type, with other credentials, and warns in each process.
os.environ.setdefault('GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT', 'false')
# Of TensorStore: else it waits for ever for an answer that was lost on the way. A request of which less than a byte a second
# has come or gone for so many seconds is sent again.
os.environ.setdefault('TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS', '60')
os.environ.setdefault('TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES', '1')

_URL = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+):/+([^/]*)')


def as_path(text: str | os.PathLike) -> Path:
  """The path that a user wrote: of a disk, or of a bucket.

  Raises UserError: a URL of another scheme or without a bucket; the package that reads it is not installed.
  """
  if not isinstance(text, str):
    return text  # a path already
  if not (url := _URL.match(text)) or '://' not in text and url[1] not in SCHEMES:
    return Path(text)
  scheme, bucket = url.groups()
  if scheme == 'file':
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(text).path))
  if scheme not in SCHEMES:
    raise UserError(f"'{text}' is of no storage that codemix knows: a path is local, or begins with gs:// or s3://.{nearest(scheme, SCHEMES)}")
  if not bucket or not text.startswith(f'{scheme}://{bucket}'):
    raise UserError(f"'{text}' names no bucket; write {scheme}://BUCKET/FOLDER.")
  if any(part in ('.', '..') for part in text.split('/')):
    raise UserError(f"'{text}' has '.' or '..' as a part, which a bucket does not know as a folder; write it without.")
  return _in_bucket(text.rstrip('/'), scheme)


def local_path(text: str | os.PathLike, what: str) -> Path:
  """The path that a user wrote of something that must be on a disk.

  Raises UserError: it is in a bucket.

  Args:
    what: its name for the message, such as '--logs'.
  """
  path = as_path(text)
  if is_remote(path):
    raise UserError(f"{what} is '{text}', in a bucket: it must be on a disk of this machine. Name a local path, or copy it to one first.")
  return path


def is_remote(path: str | os.PathLike) -> bool:
  """Whether a path is in a bucket."""
  return not isinstance(as_path(path), os.PathLike)


def absolute(path: str | os.PathLike) -> Path:
  """The path from the root of its disk or bucket, with `~` replaced."""
  path = as_path(path)
  return path if is_remote(path) else path.expanduser().absolute()


def child(folder: Path, name: str) -> Path:
  """`folder / name`, or `name` alone if it is absolute or of a bucket, as `/` does for two local paths."""
  return as_path(name) if _URL.match(name) else Path(name) if os.path.isabs(name) else folder / name


def _in_bucket(url: str, scheme: str) -> Path:
  package, extra = SCHEMES[scheme]
  try:
    importlib.import_module(package)
    import fsspec.config
    from upath import UPath
  except ImportError:
    raise UserError(f"'{url}' needs the package {package}: pip install 'codemix[{extra}]'.") from None
  # No listing is kept, here or by Orbax: other processes write, too.
  for protocol in ('gcs', 's3'):
    fsspec.config.conf.setdefault(protocol, {}).setdefault('use_listings_cache', False)
  return UPath(url, use_listings_cache=False)


@functools.cache
def _store(root: str) -> Any:
  import tensorstore as ts

  spec: dict[str, Any] = {'driver': {'gs': 'gcs'}.get(scheme := root.partition('://')[0], scheme), 'bucket': root.partition('://')[2]}
  # Minutes, not the quarter of an hour that is TensorStore's default: then the run ends with a code that starts it again.
  if scheme == 'gs':
    spec['context'] = {'gcs_request_retries': {'max_retries': 10, 'max_delay': '32s'}}
  if scheme == 's3' and (endpoint := os.environ.get('AWS_ENDPOINT_URL')):
    spec |= {'endpoint': endpoint, 'aws_region': os.environ.get('AWS_REGION', 'us-east-1')}
  return ts.KvStore.open(spec).result()


def key_value_store(path: Path) -> tuple[Any, str]:
  """TensorStore's key-value store of a path's bucket, and the path's key in it."""
  url = str(path)
  scheme, _, rest = url.partition('://')
  bucket, _, key = rest.partition('/')
  return _store(f'{scheme}://{bucket}'), key
