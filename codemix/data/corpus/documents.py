"""The documents of a corpus as they stream by: the tokenizer's sample, a streamed stage, a SeqIO task."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from codemix.data.corpus.bad_share import BadShare
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.protocols import Piece
from codemix.data.corpus.record import BadRecord, Record
from codemix.data.filters import is_corpus_wide


def documents(corpus: Corpus, split: str, pieces: Sequence[Piece] | None = None, read: BadShare | None = None) -> Iterator[Record]:
  """The records that pass every filter, in order. Duplicates are kept: to find them takes the whole corpus.

  A damaged file that does not end the reading is named on stderr, since no table of accounts follows.

  Args:
    corpus: what is read.
    split: its name.
    pieces: the pieces to read; None for the whole split.
    read: counts the records, for a caller that stops before the end.

  Raises:
    UserError: more of it is broken than `Corpus.max_bad_share`. It is raised as soon as enough was
      read, and at the latest at the end of the split.
  """
  filters = [filter for filter in corpus.filters if not is_corpus_wide(filter)]
  read = BadShare() if read is None else read
  read.ends_reading_of = corpus
  reported = 0
  for piece in corpus.pieces(split) if pieces is None else pieces:
    for record in corpus.records(piece, split, read):
      if len(read.damaged) > reported:
        reported = len(read.damaged)
        _report(corpus, read.damaged[-1])
      if isinstance(record, Record) and record.text and all(f.reason(record) is None for f in filters):
        yield record
  read.check(corpus, whole=pieces is None)


def _report(corpus: Corpus, bad: BadRecord) -> None:
  print(f"corpus '{corpus.name}': {bad.place}: {bad.reason} ({bad.detail}); what could be read of it is used", file=sys.stderr, flush=True)
