"""A part is its declared name, its version and its arguments, wherever it stands and however it is worded."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import sys
import types
from pathlib import Path

import pytest

from codemix.data import filters
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.earlier_identity import earlier_described, stream_described
from codemix.data.corpus.identity import described
from codemix.data.corpus.layouts.commit import Commit
from codemix.data.corpus.layouts.notebook import Notebook
from codemix.data.corpus.layouts.question import Question
from codemix.data.corpus.layouts.template import Template
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.layouts.verified import Puzzle, Verified
from codemix.data.corpus.readers.json_array import JsonArray
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.corpus.readers.posts_xml import PostsXml
from codemix.data.corpus.readers.tfds import Tfds
from codemix.data.corpus.readers.tfrecords import TFRecords
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.filters.parses import Parses
from codemix.data.filters.passes_tests import PassesTests
from codemix.data.filters.runs import Runs
from codemix.data.prepare.pipeline import corpus_identity
from codemix.data.store.digests import earlier_seal
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.data.transformations import (
  NormalizeIndentation,
  OnlyComments,
  RemoveComments,
  RenameIdentifiers,
  ShuffleLines,
  ShuffleTokens,
)
from codemix.errors import UserError
from codemix.identity import digest
from tests.data.corpus.files import write_lines

READERS = [JsonLines(), JsonArray(max_record_bytes=7), Parquet(columns=('a',)), PostsXml(), TFRecords(), Tfds(), WholeFiles(include=('*.py',))]
LAYOUTS = [Text(constants={'language': 'en'}), Commit(), Notebook(), Question(), Template('{a}'), Verified(), Puzzle()]
FILTERS = [
  *(filters.MaxFloats(), filters.HexLiterals(), filters.TopLevelDomainLists(), filters.GeneratedBy(), filters.Encoding()),
  *(filters.Sets(keep=('a',)), filters.Languages(keep=('C#',)), filters.Extensions(keep=('.py',)), filters.Size(), PassesTests()),
  filters.ExactDuplicates(),
]
LATER_FILTERS = [Parses(), Runs()]  # than versions
TRANSFORMATIONS = [ShuffleLines(), ShuffleTokens(seed=3), RenameIdentifiers('own', keep=('self',)), RemoveComments(), OnlyComments(), NormalizeIndentation(2)]
ROLES = {'reader': READERS, 'layout': LAYOUTS, 'filters': [*FILTERS, *LATER_FILTERS], 'transformations': TRANSFORMATIONS}
# Of the descriptions of these parts, as the last codemix without versions wrote them.
EARLIER = '428460cb5a28f9c6cf0fc8db75a410a683e08411d2ac19a5e8feff1f6c6a9509'


def store_name(corpus: Corpus) -> str:
  return digest(corpus_identity('name', corpus, 'train', load_tokenizer('bytes'), shards=2))


def reworded(source: str) -> str:
  """The source without comments, with another docstring everywhere, in another layout."""
  tree = ast.parse(source)
  for node in ast.walk(tree):
    if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
      node.body[0].value = ast.Constant('Other words.')
  return ast.unparse(tree)


@pytest.mark.parametrize('part', [*READERS, *LAYOUTS, *FILTERS, *LATER_FILTERS, *TRANSFORMATIONS], ids=lambda part: type(part).__name__)
def test_a_part_that_is_moved_and_reworded_has_the_same_identity_and_stores(part, tmp_path, monkeypatch):
  moved = types.ModuleType('codemix.elsewhere.moved')
  monkeypatch.setitem(sys.modules, moved.__name__, moved)
  exec(reworded(inspect.getsource(sys.modules[type(part).__module__])), vars(moved))
  arguments = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
  other = getattr(moved, type(part).__name__)(**arguments)
  assert type(other) is not type(part) and described(other) == described(part)
  assert set(described(part)) == {'name', 'version', 'arguments'}
  write_lines(tmp_path / 'a.jsonl', [])
  role = next(role for role, parts in ROLES.items() if part in parts)
  if part in READERS and not isinstance(part, JsonLines):
    return
  names = {store_name(Corpus({'train': str(tmp_path / 'a.jsonl')}, **{role: (each,) if role in ('filters', 'transformations') else each})) for each in (part, other)}
  assert len(names) == 1


def test_a_part_is_described_in_the_words_of_an_older_codemix_too():
  parts = [*READERS, *LAYOUTS, *FILTERS]
  assert digest([earlier_described(part) for part in parts]) == EARLIER
  assert [stream_described(part) for part in parts] == [earlier_described(part) for part in parts]


def test_a_raised_version_is_another_identity_of_a_stream_too(monkeypatch):
  before = described(Text()), stream_described(Text())
  monkeypatch.setattr(Text, 'version', 3)
  assert described(Text()) != before[0]
  assert stream_described(Text()) == described(Text()) != before[1]


@pytest.fixture
def own(tmp_path, monkeypatch):
  """Writes modules and gives the description of `Own` in the first, each time in a new process of importing."""
  monkeypatch.syspath_prepend(str(tmp_path))
  made = []

  def describe(**sources):
    for name in sources:
      sys.modules.pop(name, None)
      (tmp_path / f'{name}.py').write_text(sources[name])
    importlib.invalidate_caches()
    from codemix.data.corpus import identity

    identity.module_digest.cache_clear()
    made.extend(sources)
    for name in reversed(sources):  # what is imported comes last
      importlib.import_module(name)
    return described(sys.modules[next(iter(sources))].Own())

  yield describe
  for name in made:
    sys.modules.pop(name, None)


OWN = 'class Own:\n  name = "own"\n  def reason(self, record):\n    return None\n'


def test_a_part_of_a_user_is_known_by_its_whole_module_and_what_that_imports(own):
  plain = own(mine=OWN)
  assert plain['name'] == 'Own' and 'version' not in plain
  assert own(mine=OWN) == plain == own(other_name=OWN)
  assert own(mine=OWN + '\ndef helper():\n  return 1\n') != plain
  with_helper = f'import their_helper\n{OWN}'
  first = own(mine=with_helper, their_helper='X = 1')
  assert own(mine=with_helper, their_helper='X = 2') != first


def test_a_module_that_is_not_python_source_is_known_by_its_bytes(tmp_path, monkeypatch):
  compiled = types.ModuleType('compiled_filters')
  compiled.__file__ = str(tmp_path / 'compiled_filters.so')
  Path(compiled.__file__).write_bytes(b'\x7fELF\0')
  monkeypatch.setitem(sys.modules, 'compiled_filters', compiled)
  Own = type('Own', (), {'__module__': 'compiled_filters'})
  assert len(described(Own())['code']) == 64


def test_a_part_of_a_user_is_known_by_the_version_that_it_declares(own):
  versioned = OWN.replace('  name', '  version = 2\n  name')
  assert own(mine=versioned) == {'name': 'Own', 'version': 2} == own(mine=versioned + '\n# Edited.\n')
  assert own(mine=versioned.replace('2', '3')) == {'name': 'Own', 'version': 3}
  assert own(mine=versioned.replace('  version', '  stable_name = "x"\n  version')) == {'name': 'x', 'version': 2}


@pytest.mark.parametrize('version', ['True', '[1]', 'object()'])
def test_a_version_that_is_neither_a_number_nor_a_string_is_refused(own, version):
  with pytest.raises(UserError, match=r'Own.version is .*; write a number or a string'):
    own(mine=OWN.replace('  name', f'  version = {version}\n  name'))


def test_a_field_named_version_is_an_argument_and_declares_nothing():
  @dataclasses.dataclass(frozen=True)
  class Dump:
    version: int = 4

  found = described(Dump())
  assert found['arguments'] == {'version': 4} and 'version' not in found


def test_a_class_that_inherits_from_one_of_codemix_is_not_that_class():
  class Mine(JsonLines):
    pass

  found = described(Mine())
  assert found['name'].endswith('Mine') and 'version' not in found and found['code']
  assert found['extends'] == [{'name': 'codemix.json_lines', 'version': 1}]


def test_numbers_without_an_end_are_kept():
  @dataclasses.dataclass(frozen=True)
  class Longest:
    most: float = float('inf')

  assert digest(described(Longest())) and described(Longest())['arguments'] == {'most': 'inf'}


def older_manifest(store, corpus: Corpus) -> Path:
  """Makes a store one of an older codemix: its identity in those words, its folder named by it."""
  manifest = json.loads((store.folder / 'manifest.json').read_text())
  identity = {**manifest['identity'], 'corpus': corpus.identity('train', describe=earlier_described)}
  folder = store.folder.with_name(f'lines-train-{digest(identity)[:12]}')
  # The seal of that time covered the digests alone.
  older = {**manifest, 'identity': identity, 'seal': earlier_seal(manifest)}
  (store.folder / 'manifest.json').write_text(json.dumps(older))
  return store.folder.rename(folder)


def test_a_store_of_an_older_codemix_is_used_and_said_so(tmp_path):
  from codemix.data.prepare.source import prepare
  from codemix.data.store.verify import verify_whole
  from tests.data.raw_corpora import corpus, data, prepared, texts
  from tests.data.raw_corpora import write_lines as write

  write(tmp_path / 'raw', [texts(20, seed=1), texts(20, seed=2)])
  source = corpus(tmp_path / 'raw', filters=(filters.MaxFloats(5), filters.Languages(keep=('python',))))
  settings = data(tmp_path, source, shards=2)
  first = prepared(settings)
  new, old = first.folder.name, older_manifest(first, settings.corpora['lines'])
  tokenizer, said = settings.load_tokenizer(), []
  (tmp_path / 'stores' / f'lines-train-{tokenizer.digest[:8]}.current').write_text(old.name)
  assert settings.open_store('lines', 'train', tokenizer).folder == old
  assert prepare('lines', 'train', settings, tokenizer, said.append).folder == old
  assert [line for line in said if 'older codemix' in line] == said and '--again' in said[0] and old.name in said[0]
  verify_whole(settings.open_store('lines', 'train', tokenizer))

  other = dataclasses.replace(settings, sources={'lines': dataclasses.replace(source, filters=(filters.MaxFloats(6),))})
  with pytest.raises(UserError, match='prepared with other settings of its Corpus: .*filters'):
    other.open_store('lines', 'train', tokenizer)
  assert prepare('lines', 'train', other, tokenizer, said.append).folder != old

  again = prepare('lines', 'train', settings, tokenizer, said.append, again=True)
  assert again.folder.name == new and again.digest == first.digest
  assert settings.open_store('lines', 'train', tokenizer).folder == again.folder
