"""`codemix prepare` of a corpus: from its raw files to a token store, without SeqIO and TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from codemix.data.corpus.bad_share import merged
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.earlier_identity import is_earlier
from codemix.data.filters import is_corpus_wide
from codemix.data.prepare import duplicates
from codemix.data.prepare.duplicates import CopyWithoutRepeats, FindRepeats
from codemix.data.prepare.progress import Say, progress_file, showing_progress
from codemix.data.prepare.shards import deal
from codemix.data.prepare.tokenize_shard import TokenizeShard
from codemix.data.raw import storage
from codemix.data.raw.protocols import Piece
from codemix.data.settings import Data, store_identity
from codemix.data.store import raw_files, token_store
from codemix.data.store.earlier_store import store_folder
from codemix.data.store.shard_writer import DRAFTS, parts_in, shard_file
from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.parts import require_joins
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.storage import locked, make_folder, remove

FOLDER_PIECE_BYTES = 2**22  # assumed size of a piece of a folder
LONG_TO_DIGEST_BYTES = 2**33  # some seconds


def prepare_corpus(
  name: str, split: str, data: Data, tokenizer: Tokenizer, progress: Say, again: bool = False
) -> TokenStore:
  """Writes one split of a corpus of `Data.sources` into a token store, or finds it already written.

  The store's folder is named by a hash of all that decides its tokens, so an edited file, filter or
  tokenizer makes a new store beside the old. With `again` it is written anew in its place.

  Raises UserError: something of the corpus is wrong, or too many of its records are.
  """
  corpus = data.corpora[name]
  urls = corpus.urls(split)
  size = sum(storage.size(url) for url in urls if not storage.is_folder(url))
  if size > LONG_TO_DIGEST_BYTES:
    progress(f'{name} {split}: re-reading {size / 1e9:,.1f} GB of raw files for their digests')
  identity = corpus_identity(name, corpus, split, tokenizer, data.shards)
  is_same = lambda then: (
    not again
    and is_earlier(made_of := then.get('corpus', {}))
    and made_of.get('files') == identity['corpus']['files']
    and not corpus.changed_since(made_of)
  )
  # Absolute: workers may run in another folder.
  folder = store_folder(data.root.absolute() / 'stores', identity, is_same, progress)
  with locked(folder, f'preparing {name}'):
    if again:
      token_store.clear(folder)
    _tidy(folder)
    if not (folder / 'manifest.json').exists():
      _write(folder, identity, corpus, split, data, tokenizer, progress)
    store = token_store.open_store(folder, tokenizer=tokenizer)
    raw_files.remember(folder, dict(zip(urls, identity['corpus']['files'].values(), strict=True)))
    data.point_to(store, name, split, tokenizer)
  return store


def corpus_identity(name: str, corpus: Corpus, split: str, tokenizer: Tokenizer, shards: int) -> dict:
  """All that decides the tokens of a prepared split, as plain data."""
  return store_identity(name, split, tokenizer, shards, {'corpus': corpus.identity(split)})


def _write(folder: Path, identity: dict, corpus: Corpus, split: str, data: Data, tokenizer: Tokenizer, progress: Say) -> None:
  """Writes the shards that are missing, then the manifest."""
  pieces = corpus.pieces(split)
  shards = deal(pieces, _sizes(pieces), data.shards)
  sizes = {shard.name: sum(shard.size) for shard in shards}
  names = tuple(sizes)
  dtype = token_store.token_dtype(tokenizer.vocab_size)
  deduplicated = bool(corpus.filters) and is_corpus_wide(corpus.filters[-1])
  written = folder / DRAFTS if deduplicated else folder
  make_folder(written)
  workers = data.make_workers()
  there = sum(shard_file(written, name).exists() for name in names)
  title = f'{identity["task"]} {split}'
  progress(
    f'prepare: {title}, {sum(sizes.values()) / 1e6:,.1f} MB of raw files'
    + (f', {there} of {len(shards)} shards are there' if there else '')
  )
  if corpus.marks_answers:
    require_joins(tokenizer)
  step = TokenizeShard(written, folder, corpus, split, tokenizer, drafts=deduplicated, sizes=sizes)
  with showing_progress(title, written, sizes, progress):
    workers.map(step, shards, folder=folder)
  read = merged(token_store.read_shard(written, name)['accounts']['read'] for name in names)
  read.check(corpus, unread=0, listed=str(folder / 'bad-*.jsonl'))
  if deduplicated:
    progress('  dropping exact duplicates')
    ranges = duplicates.digest_ranges(written, names)
    workers.map(FindRepeats(written, names), ranges, folder=folder)
    copy = CopyWithoutRepeats(written, folder, names, ranges, corpus.filters[-1].name, dtype.str)
    workers.map(copy, names, folder=folder)
  store = token_store.write_manifest(folder, identity, names, dtype, tokenizer)
  if not store.documents:
    remove(folder / 'manifest.json')
    raise UserError(_nothing_kept(corpus, split, store.manifest['accounts']))
  if not store.loss_tokens:
    remove(folder / 'manifest.json')
    raise UserError(f"corpus '{corpus.name}' has no answer in its split '{split}', so nothing of it would count in the loss. Change Corpus.layout.")
  _tidy(folder)


def _sizes(pieces: Sequence[Piece]) -> list[int]:
  """The size of each piece: a file's bytes in equal parts, since the unit of a piece is its reader's own."""
  parts = Counter(piece.url for piece in pieces)
  # The size of a folder means nothing, and differs between file systems.
  sizes = {url: FOLDER_PIECE_BYTES * n if storage.is_folder(url) else storage.size(url) for url, n in parts.items()}
  return [max(sizes[piece.url] // parts[piece.url], 1) for piece in pieces]


def _nothing_kept(corpus: Corpus, split: str, counts: dict) -> str:
  dropped = [f'{line["name"]}: {sum(a["documents"] for a in line["dropped"].values()):,} dropped' for line in counts['filters']]
  others = ''.join(f', {count:,} {reason}' for kind in ('bad', 'passed_over') for reason, count in counts[kind].items())
  return (
    f"corpus '{corpus.name}' has no document in its split '{split}': {counts['records']:,} records were read, {counts['empty']:,} without text{others}; "
    f'{"; ".join(dropped) or "it has no filters"}. Fix Corpus.files, Corpus.layout, Corpus.filters or Corpus.transformations.'
  )


def _tidy(folder: Path) -> None:
  """Removes what a killed `prepare` left: files that were not whole, and the drafts of a store that is."""
  if (folder / 'manifest.json').exists():
    remove(folder / DRAFTS)
  for place in (folder, folder / DRAFTS):
    for path in (*parts_in(place), *place.glob(progress_file(place, '*').name)):
      remove(path)
    for path in place.glob('beam-*'):
      remove(path)
