"""SeqIO tasks over files of JSON lines: `local_text`, `local_code`, and a user's own.

    register_jsonl_task('novels', {'train': 'novels-*.jsonl.gz', 'validation': 'held-out.jsonl'})

`codemix.data.corpus` reads other files, and filters them; a corpus of JSON lines is its simplest case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import seqio

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.text import Text
from codemix.data.local_corpora.store import SPLITS
from codemix.data.seqio.corpus_task import CorpusDataSource, register_corpus, register_source
from codemix.data.settings import local_corpora


class LocalCorpusDataSource(CorpusDataSource):
  """A corpus made from the Python installation, built when it is first read."""

  def __init__(self, name: str):
    self._name = name
    super().__init__(Corpus(dict.fromkeys(SPLITS, name), name=name))

  @property
  def corpus(self) -> Corpus:
    splits = local_corpora().corpora[self._name]
    files = {split: str(stored.path) for split, stored in splits.items()}
    return Corpus(files, name=self._name)

  def num_input_examples(self, split: str) -> int:
    return local_corpora().corpora[self._name][split].documents


def register_jsonl_task(
  name: str, split_to_filepattern: Mapping[str, str | Sequence[str]], text_field: str = 'text'
) -> seqio.Task:
  """Registers a SeqIO task over JSON lines, plain, gzip or zstd, one document a line.

  Args:
    split_to_filepattern: a glob pattern for each split, or several.
    text_field: the field that holds a document's text; a dotted path such as 'meta.body'.

  Returns:
    The task, as `register_corpus` does.

  Raises UserError: the name is taken. Missing files or fields raise at the first read.
  """
  return register_corpus(name, Corpus(split_to_filepattern, layout=Text(text_field), name=name))


for _name in ('local_text', 'local_code'):
  register_source(_name, LocalCorpusDataSource(_name))
