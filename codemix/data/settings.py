"""The data of a run: its sources and their kinds, where they are prepared, and the tokenizer."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from codemix.checked import From, Name, NotEmpty, checked
from codemix.checked import Path as PathText
from codemix.data.corpus.corpus import Corpus
from codemix.data.local_corpora import LocalCorpora, build_local_corpora
from codemix.data.store import raw_files
from codemix.data.store.token_store import CACHE_BYTES, FORMAT, TokenStore, open_store
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError, nearest
from codemix.storage import absolute, as_path, child, is_file_name, is_remote, read_json, write_text
from codemix.workers import InProcess, Processes, Workers

LOCAL_KINDS = {'local_text': 'text', 'local_code': 'code'}  # of the tasks that ship, `codemix.data.seqio.tasks`
_TOKENIZER_FILES = ('.json', '.model')
_TYPO = 0.8  # names at least this similar are probably typing errors of each other


def default_directory() -> Path:
  """`$CODEMIX_DATA_DIR`, else the user's cache folder."""
  if directory := os.environ.get('CODEMIX_DATA_DIR'):
    return absolute(directory)
  return _cache()


def _cache() -> Path:
  return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'codemix'


def corpora_directory() -> Path:
  """The folder of `local_text` and `local_code`: in `$CODEMIX_DATA_DIR` if that is on a disk, else in the user's cache."""
  directory = default_directory()
  return (_cache() if is_remote(directory) else directory) / 'corpora'


def local_corpora() -> LocalCorpora:
  """The corpora in `corpora_directory()`; where they are not there, building them takes about 25 seconds."""
  return build_local_corpora(corpora_directory())


@dataclasses.dataclass(frozen=True)
@checked
class Data:
  """What is prepared, and where.

  Attributes:
    directory: holds corpora, tokenizers and token stores, on a disk or in a bucket (gs://, s3://); None for
      `$CODEMIX_DATA_DIR`, else the user's cache folder.
    tokenizer: 'bytes', or a path to a `tokenizer.json` or a SentencePiece
      `.model`; a relative path is looked for in `directory`.
    sources: corpora by the name that mixtures use, or several such mappings.
      Any other name in a mixture is that of a SeqIO task.
    kinds: the kind of sources by name: 'text', 'code' or a group of your own. It overrides
      `Corpus.kind`, and declares the kind of a SeqIO task. The report groups sources by it.
    allow_lossy_tokenizer: whether the tokenizer may change text: compose accents,
      drop indentation, and so on. What it changes is part of the data's identity.
    train_on: sources or SeqIO tasks that `codemix tokenizer` trains the tokenizer on.
    vocab_size: entries of a tokenizer that is trained, special ids included.
    sample_bytes: bytes of each source in `train_on` that the tokenizer is trained on.
    task_modules: modules imported so that they register their SeqIO tasks.
    shards: most files that one split of a source is written in; an interrupted `prepare` goes on
      with those that are missing, and as many workers can write at the same time.
    streaming: train from the raw files, with nothing prepared but what is scored;
      `codemix.data.batches.streamed_source` says what is given up.
    matched: groups of sources that are repeated equally often, such as variants of one corpus: an epoch of each has
      the rows of the smallest of its group. All of a group are prepared, also where a study trains on some only.
    workers: how many processes prepare `sources`, or where they do it: such as
      `Beam(options=(...))`. The tokens are the same.
    cache_bytes: of the local disk (of `$TMPDIR`), in each process, for what is read of stores in a bucket. A store's
      tables of documents, 16 bytes a document, must fit; a file of tokens that fits is read from the bucket once.
  """

  directory: PathText | None = None
  tokenizer: Annotated[PathText, NotEmpty()] = 'bytes'
  allow_lossy_tokenizer: bool = False
  sources: Mapping[Name, Corpus] | Sequence[Mapping[Name, Corpus]] = ()
  kinds: Mapping[Name, Name] = dataclasses.field(default_factory=dict)
  train_on: tuple[Name, ...] = ()
  vocab_size: Annotated[int, From(1), 'entries'] = 8192
  sample_bytes: Annotated[int, From(1), 'bytes'] = 8_000_000
  task_modules: tuple[Name, ...] = ('codemix.data.seqio.tasks',)
  shards: Annotated[int, From(1), 'files'] = 8
  streaming: bool = False
  matched: Sequence[Annotated[Sequence[Name], NotEmpty()]] = ()
  workers: Annotated[int, From(1), 'processes'] | Workers = 1
  cache_bytes: Annotated[int, From(0), 'bytes'] = CACHE_BYTES

  def __post_init__(self):
    members = [name for group in self.matched for name in group]
    if twice := next((name for name in members if members.count(name) > 1), None):
      raise UserError(f"Data.matched names '{twice}' twice; a source is in one group, once.")
    if self.matched and self.streaming:
      raise UserError('Data.matched needs to know how large sources are, and Data.streaming does not: prepare them, or bind Data.matched = ().')
    for name in members:
      if name not in (corpora := self.corpora) and (meant := nearest(name, corpora, cutoff=_TYPO)):
        raise UserError(f"Data.matched names '{name}', which is not a source of Data.sources.{meant}")

  @property
  def root(self) -> Path:
    return as_path(self.directory) if self.directory else default_directory()

  @property
  def tokenizer_path(self) -> Path:
    return child(self.root, self.tokenizer)

  @property
  def corpora(self) -> dict[str, Corpus]:
    """`sources` as one mapping; a corpus without a name of its own has that of its source.

    Raises UserError: two sources have one name, or one has a name that no file can have.
    """
    mappings = [self.sources] if isinstance(self.sources, Mapping) else self.sources
    corpora: dict[str, Corpus] = {}
    for name, corpus in (item for mapping in mappings for item in mapping.items()):
      if name in corpora:
        raise UserError(f"Data.sources has two sources named '{name}'; rename one.")
      if any(part in ('', '.', '..') for part in name.split('/')) or not name.isprintable():
        raise UserError(f"Data.sources has a source named {name!r}, by which no file can be named; write it as 'wiki' or 'org/wiki'.")
      corpora[name] = corpus if corpus.name else dataclasses.replace(corpus, name=name)
    return corpora

  def kind(self, name: str) -> str | None:
    """What a source is: 'text', 'code' or a user's own group; None where it is not declared."""
    corpus = self.corpora.get(name)
    declared = LOCAL_KINDS.get(name) if corpus is None else corpus.kind
    return self.kinds.get(name) or declared or None

  def make_workers(self) -> Workers:
    if not isinstance(self.workers, int):
      return self.workers
    return Processes(self.workers) if self.workers > 1 else InProcess()

  def load_tokenizer(self) -> Tokenizer:
    """The tokenizer that `tokenizer` names.

    Raises UserError: it does not exist (with the command that trains it), or cannot be used.
    """
    if self.tokenizer == 'bytes':
      return load_tokenizer('bytes')
    if not self.tokenizer_path.exists():
      raise UserError(
        f'the tokenizer {self.tokenizer_path} does not exist.{self.suggested_tokenizer()} Train it with `codemix tokenizer train` and '
        'the same gin files, or say where it is: Data.tokenizer names it, CODEMIX_DATA_DIR (or Data.directory) the folder.'
      )
    return load_tokenizer(self.tokenizer_path, self.allow_lossy_tokenizer)

  def suggested_tokenizer(self) -> str:
    """` Did you mean ...?` for a tokenizer with nearly the name of one that does not exist, else ''."""
    path = self.tokenizer_path
    if name := nearest(self.tokenizer, ['bytes'], cutoff=_TYPO):
      return name
    here = Path(self.tokenizer)
    relative = not here.is_absolute() and not is_remote(path)
    if relative and here.is_file():
      return f" Did you mean '{here.absolute()}'? A relative path is looked for in {self.root}, not in the working folder."
    beside = [file.name for file in _entries(path.parent) if file.suffix in _TOKENIZER_FILES and file.is_file()]
    # By the names alone: a folder that they share would make any two of them similar.
    similar = lambda name: name.casefold() == path.name.casefold() or nearest(path.name, [name], path.suffix, cutoff=_TYPO)
    if meant := next(filter(similar, beside), None):
      return f" Did you mean '{here.with_name(meant)}'?"
    folders = [self.root, *_entries(self.root)] if relative else []
    found = next((folder / path.name for folder in folders if (folder / path.name).is_file()), None)
    return f" Did you mean '{found}'?" if found else ''

  def pointer(self, task: str, split: str, tokenizer: Tokenizer) -> Path:
    """The file that names the store last prepared for a split with a tokenizer."""
    return self.root / 'stores' / f'{task}-{split}-{tokenizer.digest[:8]}.current'

  def is_prepared(self, task: str, split: str, tokenizer: Tokenizer) -> bool:
    pointer = self.pointer(task, split, tokenizer)
    return pointer.exists() and _pointed_to(pointer).exists()

  def store_folder(self, task: str, split: str, tokenizer: Tokenizer) -> Path:
    """The folder of the store that `open_store` opens. Raises UserError: it was never prepared."""
    pointer = self.pointer(task, split, tokenizer)
    if not pointer.exists():
      raise UserError(
        f"'{task}' ({split}) is not prepared with this tokenizer in {self.root}{self._with_others(task, split, tokenizer)}. "
        'Run `codemix prepare` with the same gin files, or set CODEMIX_DATA_DIR (or Data.directory) to where it is.'
      )
    return _pointed_to(pointer)

  def open_store(self, task: str, split: str, tokenizer: Tokenizer) -> TokenStore:
    """Opens and checks a prepared store, without SeqIO or TensorFlow.

    Raises UserError: it was never prepared or is damaged; its raw files or the settings of its
    Corpus were edited, or raw files were added.
    """
    folder = self.store_folder(task, split, tokenizer)
    expected = {'task': task, 'split': split, 'tokenizer': tokenizer_identity(tokenizer)}
    store = open_store(folder, expected, tokenizer, self.cache_bytes)
    made_of = store.manifest['identity'].get('corpus')
    if made_of and task in self.corpora and (changed := self.corpora[task].changed_since(made_of)):
      raise UserError(
        f"'{task}' ({split}) was prepared with other settings of its Corpus: {'; '.join(changed[:3])} (expected: as it was prepared, found: as it is now). "
        'Run `codemix prepare` with the same gin files to prepare it as it is now, or put the settings back.'
      )
    raw_files.check(folder, task)
    raw_files.check_none_added(folder, task, self._files_here(task, split))
    return store

  def _files_here(self, task: str, split: str) -> list[str]:
    """The local raw files of a corpus; none where it is a SeqIO task, lies in a bucket, or was removed."""
    corpus = self.corpora.get(task)
    if corpus is not None and getattr(corpus.reader, 'lists_files', True):
      with contextlib.suppress(UserError):  # the raw files of a store are often on another machine
        return [url for url in corpus.urls(split) if '://' not in url]
    return []

  def _with_others(self, task: str, split: str, tokenizer: Tokenizer) -> str:
    """Which other tokenizers it is prepared with: this one's file may have been edited."""
    pointers = sorted((self.root / 'stores').glob(f'{glob.escape(f"{task}-{split}")}-*.current'))
    manifests = [path for path in (_pointed_to(pointer) / 'manifest.json' for pointer in pointers) if path.exists()]
    form = {'identity': {'tokenizer': {'kind': str, 'digest': str}}}
    others = [read_json(path, form)['identity']['tokenizer'] for path in manifests]
    described = ', '.join(f'{other["kind"]} {other["digest"][:8]}' for other in others)
    return f' ({tokenizer.kind} {tokenizer.digest[:8]}), only with another ({described})' if others else ''

  def point_to(self, store: TokenStore, task: str, split: str, tokenizer: Tokenizer) -> None:
    """Makes `store` the one that `open_store` finds."""
    write_text(self.pointer(task, split, tokenizer), store.folder.name + '\n')


def _pointed_to(pointer: Path) -> Path:
  name = pointer.read_bytes().decode(errors='replace').strip()
  if not is_file_name(name):
    raise UserError(f'{pointer} is damaged: it does not name a store. Run `codemix prepare`, which writes it again.')
  return pointer.parent / name


def store_identity(
  name: str, split: str, tokenizer: Tokenizer, shards: int, made_of: Mapping[str, object]
) -> dict:
  """All that decides the tokens of a prepared split, as plain data; `made_of` of documents."""
  described = {'task': name, 'split': split, 'tokenizer': tokenizer_identity(tokenizer)}
  return {'format': FORMAT, **described, **made_of, 'shards': shards}


def tokenizer_identity(tokenizer: Tokenizer) -> dict:
  """What decides the ids of a text: the tokenizer's bytes, and where BOS and EOS stand."""
  return {
    'kind': tokenizer.kind,
    'digest': tokenizer.digest,
    'vocab_size': tokenizer.vocab_size,
    'bos': f'input {tokenizer.bos_id} before each document',
    'eos': f'target {tokenizer.eos_id} after each document',
    **({'changes text': list(tokenizer.changes)} if tokenizer.changes else {}),
  }


def _entries(folder: Path) -> list[Path]:
  """The paths in a folder, sorted; none where it cannot be listed."""
  try:
    return sorted(folder.iterdir())
  except OSError:
    return []
