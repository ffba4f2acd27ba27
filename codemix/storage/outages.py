"""A bucket that does not answer, or refuses: errors of gcsfs, s3fs and TensorStore as errors for people."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from codemix.errors import CodemixError, StorageUnavailable, UserError, of_collective
from codemix.storage.paths import is_remote

# What the clients' errors say after they have given up trying again.
_AWAY = re.compile(
  r'\b(408|429|500|502|503|504)\b|timed? ?out|timeout|connect|reset by peer|broken pipe|disconnected|unavailable|rate limit|try again|resource_exhausted|retries|payload is not completed',
  re.IGNORECASE,
)
_REFUSED = re.compile(r'\b(401|403)\b|forbidden|permission|access denied|unauthorized|anonymous caller|credentials', re.IGNORECASE)
_MISSING_BUCKET = re.compile(r'bucket .*(not|does not) exist|NoSuchBucket|/upload/storage/v1/b/[^/ ]+/o', re.IGNORECASE)
_NO_LISTING = re.compile(r'b/([^/\s]+)/o')  # all that gcsfs says of a bucket that does not exist, when it lists it
_LOST_UPLOAD = re.compile(r'/upload/storage/v1/b/\S*[?&]upload_id=')  # an upload in parts that the bucket knows no more, as after a lost connection
_PLACES = re.compile(r'\S+://\S+|[\w.%-]*(?:/[\w.%-]+)+')  # URLs and paths, whose words say nothing of the error
_TENSORSTORE = re.compile(r'(gcs|s3|gs://|s3://|https?://|http_response_code)', re.IGNORECASE)
_CLIENTS = ('gcsfs', 's3fs', 'aiohttp', 'botocore', 'aiobotocore', 'google', 'requests', 'urllib3')


def outage(error: BaseException, where: Path | None = None) -> CodemixError | None:
  """The error for people that an error of a bucket's client stands for; None: it is something else.

  Args:
    where: the path that was read or written, if it is known to be in a bucket.
  """
  if isinstance(error, FileNotFoundError) and (listed := _NO_LISTING.fullmatch(str(error))):
    return UserError(f'the bucket gs://{listed[1]} does not exist. Create it, or fix the name.')
  if isinstance(error, CodemixError) or of_collective(error) or not (_is_of_a_client(error) or where and isinstance(error, OSError)):
    return None
  said = ' '.join(f'{type(each).__name__}: {each}' for each in _chain(error))
  text = _PLACES.sub(' ', said)
  line = next(iter(str(error).splitlines()), '')[:300] or type(error).__name__
  named = where or 'a bucket of this run'
  if isinstance(error, FileNotFoundError):
    if where and _LOST_UPLOAD.search(said):
      return StorageUnavailable(f'{named} has lost an upload. The same command begins it again.')
    if not _MISSING_BUCKET.search(said):
      return None
    return UserError(f'{where} cannot be written: its bucket does not exist. Create it, or fix the name.' if where else f'{named} does not exist. Create it, or fix the name.')
  if _AWAY.search(text):
    return StorageUnavailable(f'{named} does not answer ({line}). The same command resumes when it does.')
  if _REFUSED.search(text):
    return UserError(f"{named} refuses access ({line}). Give this machine's account access to the bucket, or log in (`gcloud auth application-default login`).")
  return None


@contextlib.contextmanager
def naming_outages(path: Path) -> Iterator[None]:
  """Raises StorageUnavailable or UserError with `path` for errors of its bucket in this block; on a disk there are none."""
  try:
    yield
  except Exception as error:
    if is_remote(path) and (found := outage(error, path)):
      raise found from error
    raise


def _is_of_a_client(error: BaseException) -> bool:
  if any(type(each).__module__.partition('.')[0] in _CLIENTS for each in _chain(error)):
    return True
  return isinstance(error, ValueError) and _TENSORSTORE.search(str(error)) is not None  # so TensorStore reports HTTP


def _chain(error: BaseException | None) -> Iterator[BaseException]:
  seen = set()  # an error that is raised again while it is handled is its own context
  while error is not None and id(error) not in seen:
    yield error
    seen.add(id(error))
    error = error.__cause__ or error.__context__
