"""`codemix verify`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  load_experiment,
  show_line,
)
from codemix.commands.stores import find_stores
from codemix.data.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.studies.formatting import count

if TYPE_CHECKING:
  from codemix.data.sources.reading import Reader



@dataclasses.dataclass(frozen=True)
class Cache:
  """A token store to verify.

  Attributes:
    folder: where it lies.
    tokenizer: which must still encode as it did, if it is known.
    reader: of the corpus, which knows how its raw files are digested.
  """

  folder: Path
  tokenizer: Tokenizer | None = None
  reader: Reader | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('cache', nargs='*', metavar='CACHE', help='folder of a token store, or of several; else --gin_file says which')
  add_gin_arguments(parser)
  parser.add_argument('--sources', action='store_true', help='re-read the raw files as well')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  caches = [Cache(folder) for folder in find_stores(arguments.cache)] if arguments.cache else _caches_of_study(arguments)
  checked, wrong = [], []
  for cache in caches:
    try:
      checked.append(_verify(cache, arguments.sources))
      if arguments.format == 'text':
        print(_line(checked[-1]))
    except UserError as error:
      wrong.append(error)
      checked.append({'folder': str(cache.folder), 'error': str(error)})
  if arguments.format == 'json':
    print(json.dumps(checked, indent=1))
  if len(wrong) == 1:
    raise wrong[0]
  if wrong:
    for error in wrong:
      show_line(f'  {error}')
    raise UserError(f'{len(wrong)} of {len(caches)} token stores are not as they were prepared; the lines above say why.')


def _verify(cache: Cache, sources: bool) -> dict:
  from codemix.data import raw_files
  from codemix.data.verify import verify_whole

  store, size = verify_whole(cache.folder, cache.tokenizer)
  source = store.manifest['identity'].get('task', cache.folder.name)
  found = {'folder': str(cache.folder), 'source': source, 'documents': store.documents, 'tokens': store.tokens, 'bytes_read': size}
  if sources:
    found['raw_files'] = raw_files.verify(cache.folder, source, _digest_of(cache))
  return found


def _digest_of(cache: Cache) -> Callable[[str], str]:
  from codemix.data.sources import storage

  def digest(url: str) -> str:
    if storage.is_folder(url):
      raise UserError(f'{cache.folder} was made from the folder {url}; which of its files were read, --gin_file says.')
    return storage.digest_of(url)

  return cache.reader.digest if cache.reader else digest


def _line(found: dict) -> str:
  raw = f'; {count(found["raw_files"], "raw file")} unchanged' if 'raw_files' in found else ''
  return (
    f'{found["folder"]}: {count(found["documents"], "document")}, {found["tokens"]:,} tokens, '
    f'{found["bytes_read"] / 1e6:,.1f} MB re-read and as they were written{raw}'
  )


def _caches_of_study(arguments: argparse.Namespace) -> list[Cache]:
  """The stores that a recipe or study reads."""
  if not arguments.gin_file and not arguments.gin_bindings:
    raise UserError('name the folder of a token store, or a recipe with --gin_file.')
  experiment = load_experiment(arguments)

  from codemix.studies.preparation import splits_read

  data = experiment.data
  tokenizer, corpora = data.load_tokenizer(), data.corpora
  return [
    Cache(data.store_folder(source, split, tokenizer), tokenizer, corpora[source].reader if source in corpora else None)
    for source, split in splits_read(experiment.study, data)
  ]
