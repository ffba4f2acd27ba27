"""For each reader, row parser, filter and transformation a small input that goes through all that decides its documents.

`CASES` has a function by stable name: it writes files into an empty folder where it needs any, and
returns the part with what it gives. What a helper makes of its input (HTML, names of kernels,
compression, file endings) is part of what its users give here.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import zstandard

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts import kernel_languages
from codemix.data.corpus.layouts.commit import Commit
from codemix.data.corpus.layouts.instruction import Instruction
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
from codemix.data.corpus.readers.tsv import Tsv
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.filters import (
  Encoding,
  ExactDuplicates,
  Extensions,
  Filter,
  GeneratedBy,
  HexLiterals,
  Languages,
  MaxFloats,
  Sets,
  Size,
  TopLevelDomainLists,
)
from codemix.data.filters.parses import Parses
from codemix.data.filters.passes_tests import PassesTests
from codemix.data.filters.runs import Runs
from codemix.data.filters.top_level_domains import KNOWN_DOMAINS
from codemix.data.languages import LANGUAGE_OF_FILE
from codemix.data.raw.protocols import Reader, RowParser
from codemix.data.raw.record import BadRecord, Record
from codemix.data.transformations import (
  NormalizeIndentation,
  OnlyComments,
  RemoveComments,
  RenameIdentifiers,
  ShuffleLines,
  ShuffleTokens,
  Transformation,
  Unsuited,
  transform,
)
from codemix.sandbox.limits import Limits
from tests.data import tfds_folder


class Given(NamedTuple):
  """A part, and what it gives, one JSON value for each document or broken record."""

  part: object
  documents: list


CASES: dict[str, Callable[[Path], Given]] = {}


def case(function: Callable[[Path], Given]) -> Callable[[Path], Given]:
  CASES[function.__name__] = function
  return function


def of_reader(reader: Reader, folder: Path, files: Mapping[str, bytes], pattern: str = '**/*', parser: RowParser | None = None) -> Given:
  for name, content in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
  corpus = Corpus({'train': pattern}, reader, parser or Text(), root=str(folder))
  items = [item for piece in corpus.pieces('train') for item in corpus.records(piece, 'train')]
  return Given(reader, [shown(item, str(folder)) for item in items])


def of_parsers(*parsed: tuple[RowParser, Sequence[Mapping]]) -> Given:
  found = []
  for parser, rows in parsed:
    for row in rows:
      record = parser.record('row', row)
      found.append([shown(each) for each in record] if isinstance(record, list) else shown(record))
  return Given(parsed[0][0], found)


def of_filter(filter: Filter, records: Iterable[str | Record]) -> Given:
  records = [Record(record) if isinstance(record, str) else record for record in records]
  return Given(filter, [[filter.reason(record), record.id or record.text[:40]] for record in records])


def of_transformations(*transformations: Transformation, more: Sequence[str] = ()) -> Given:
  """What each transformation gives for a program that has everything, and for some small ones."""
  found = []
  for text in (PROGRAM, PROGRAM.replace('\n', '\r\n'), 'x = (', '', *more):
    for transformation in transformations:
      try:
        found.append(transform(Record(text, language='python'), transformation))
      except Unsuited as unsuited:
        found.append([str(unsuited)])
  return Given(transformations[0], found)


def shown(item: Record | BadRecord | None, root: str = '') -> object:
  """A record by its fields; a broken one without the words, which may be a library's."""
  if isinstance(item, BadRecord):
    return {'bad': item.reason, 'place': item.place.removeprefix(root).lstrip('/'), 'lost': item.lost, 'expected': item.expected}
  return [item.text, item.source, item.language, item.id, item.program] if item else None


def lines(*rows: object) -> bytes:
  return b''.join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b'\n' for row in rows)


# Readers.


@case
def json_lines(folder: Path) -> Given:
  whole = lines({'text': 'one\ud800', 'source': 's', 'language': 'en', 'id': 7}, {'text': None}, b'', {'text': 'two'})
  long = lines(*({'text': f'{number} ' + 'word ' * (number * 37 % 50)} for number in range(400)))
  broken = lines(b'\xff', b'[]', b'{"text": "a\0b"}', b'{"text": 1}', b'{"other": 1}', {'text': 'x' * 3000}) + b'{"text": "cut'
  files = {'a.jsonl': b'\xef\xbb\xbf' + whole, 'b.jsonl': broken, 'c.jsonl': b'', 'd.jsonl': lines({'text': 'x' * 900}, {'text': 'y' * 900})}
  packed = {
    'e.jsonl.gz': gzip.compress(whole, mtime=0) + gzip.compress(whole, mtime=0) + b'\0' * 9,
    'f.jsonl.zst': zstandard.compress(whole),
    'g.jsonl.bz2': bz2.compress(whole),
    'h.jsonl.xz': lzma.compress(whole),
    'i.jsonl.gz': gzip.compress(long, 0, mtime=0)[:-200],
    'j.jsonl.gz': gzip.compress(whole, mtime=0) + b'more',
    'k.jsonl.gz': whole,
  }
  return of_reader(JsonLines(max_line_bytes=2000, piece_bytes=1000), folder, {**files, **packed, **foreign_files()})


def foreign_files() -> dict[str, bytes]:
  """Files that are not what their names say."""
  heads = (
    *(b'version https://git-lfs.github.com/spec/v1\n', b'<!DOCTYPE html><html>', b'<?xml version="1.0"?><Error>', b'PK\x03\x04'),
    *('text'.encode('utf-16'), 'text'.encode('utf-32'), b'\x1f\x8b\x08', b'\x28\xb5\x2f\xfd', b'BZh91AY&SY', b'\xfd7zXZ\0'),
    *(b'\x04\x22\x4d\x18', b'7z\xbc\xaf\x27\x1c', b'PAR1', b'ARROW1', b'SQLite format 3\0', b'\0' * 257 + b'ustar'),
  )
  return {f'foreign-{index:02}.jsonl': head for index, head in enumerate(heads)}


@case
def tsv(folder: Path) -> Given:
  broken = b'\xff\tx\none\na\tb\tc\na\0\tb\n' + b'x' * 2000 + b'\ty\n'
  files = {'a.tsv': b'\xef\xbb\xbfquestion\ttext\r\nwhy\t"so"\n\n\t\n', 'b.tsv': broken, 'c.tsv.gz': gzip.compress(b'where\there', mtime=0)}
  return of_reader(Tsv(columns=('source', 'text'), max_line_bytes=1000), folder, files)


@case
def json_array(folder: Path) -> Given:
  files = {
    'a.json': b'[{"text": "one"}, {"text": "two"}, 3]',
    'b.json': b'{"x": {"text": "of a name"}, "y": {"text": "t", "key": "own"}}',
    'c.json': b'[{"text": "one"}, {"text": ',
    'd.json': b'[{"text": "one"} {"text": "two"}, {"text": "three"}]',
    'e.json': b' ',
    'f.json': b'[{"text": "' + b'x' * 2000 + b'"}]',
    'g.json': b'[]\n{}',
    'h.json.gz': gzip.compress(b'[{"text": "packed"}]', mtime=0),
  }
  return of_reader(JsonArray(max_record_bytes=1000), folder, files, parser=Template('[[{key}: ]]{text}'))


@case
def parquet(folder: Path) -> Given:
  import pyarrow
  import pyarrow.parquet

  rows = [{'text': f't{number}', 'meta': {'set': 'a', 'id': number}, 'other': number} for number in range(5)] + [{'text': None, 'meta': None, 'other': None}]
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / 'a.parquet', row_group_size=2)
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[:1]).slice(0, 0), folder / 'b.parquet')
  (folder / 'c.parquet').write_bytes((folder / 'a.parquet').read_bytes()[:-9])
  return of_reader(Parquet(piece_bytes=100), folder, {'d.parquet': b'<html>'}, '*', Text(source='meta.set', id='meta.id'))


@case
def posts_xml(folder: Path) -> Given:
  posts = [
    '<row Id="3" PostTypeId="2" ParentId="1" Score="1" Body="&lt;p&gt;low&lt;/p&gt;" />',
    '<row Id="1" PostTypeId="1" Score="2" Title="A &amp; B" Tags="&lt;x&gt;" Body="&lt;p&gt;why&lt;/p&gt;"></row>',
    '<row Id="4" PostTypeId="2" ParentId="1" Score="9" Body="high" />',
    '<row Id="5" PostTypeId="2" ParentId="77" Score="9" Body="no question" />',
    '<row Id="6" PostTypeId="5" Body="a wiki" />',
    '<row Id="7" PostTypeId="1" Body="\x01" />',
    '<row Id="8" PostTypeId="1" />',
    f'<row Id="9" PostTypeId="1" Body="{"x" * 900}" />',
    '<row Id="10" PostTypeId="1" Body="another" />',
  ]
  whole = '<?xml version="1.0"?>\n<posts>\n' + '\n'.join(posts) + '\n</posts>\n'
  files = {'site/Posts.xml': whole.encode(), 'cut/Posts.xml': whole[:300].encode(), 'empty/Posts.xml': b''}
  return of_reader(PostsXml(max_post_bytes=800), folder, files, '*/Posts.xml', Question())


@case
def tfrecords(folder: Path) -> Given:
  import tensorflow as tf

  def feature(value):
    if isinstance(value, bytes):
      return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

  with tf.io.TFRecordWriter(str(folder / 'a.tfrecord')) as writer:
    for row in ({'text': b'one', 'id': [4]}, {'text': b'\xff'}, {'text': b'two', 'id': [1, 2]}):
      writer.write(tf.train.Example(features=tf.train.Features(feature={k: feature(v) for k, v in row.items()})).SerializeToString())
    writer.write(b'no example')
  whole = (folder / 'a.tfrecord').read_bytes()
  return of_reader(TFRecords(), folder, {'b.tfrecord': whole[:60], 'c.tfrecord': b'', 'd.tfrecord': b'<html>', 'e.tfrecord.gz': gzip.compress(whole)}, '*')


@case
def tfds(folder: Path) -> Given:
  import tensorflow as tf
  from tensorflow_datasets import features

  of_text = features.FeaturesDict({'text': features.Text(), 'id': tf.int64})
  tfds_folder.write(folder, 'made/en', 'train', of_text, [{'text': f'text {number}', 'id': number} for number in range(3)])
  return of_reader(Tfds(str(folder)), folder, {}, 'tfds:made/en:1.0.0')


@case
def whole_files(folder: Path) -> Given:
  named = {f'tree/{"name" if ending.startswith(".") else ""}{ending}': ending.encode() for ending in LANGUAGE_OF_FILE}
  odd = {
    'tree/sub/a.py.gz': gzip.compress(b'packed', mtime=0),
    'tree/sub/binary': b'a\0b',
    'tree/sub/latin': b'\xe9',
    'tree/sub/mark.py': b'\xef\xbb\xbfmarked',
    'tree/sub/utf16': 'text'.encode('utf-16'),
    'tree/sub/pointer': b'version https://git-lfs.github.com/spec/v1\n',
    'tree/sub/long': b'x' * 2000,
    'tree/left_out/a.py': b'',
    'tree/sub/.git/config': b'',
    'single.rs': b'of itself',
  }
  return of_reader(WholeFiles(exclude=('left_out',), max_file_bytes=1000), folder, {**named, **odd}, '*')


# Row parsers.

ROWS = (
  {'text': 'a', 'source': 's', 'language': 'en', 'id': 3},
  {'text': b'bytes', 'source': None, 'id': 1.5},
  {'text': float('nan'), 'source': ['no label']},
  {'text': 7},
  {'text': b'\xff'},
  {'meta': {'text': 'inner', 'a.b': 1}},
)


@case
def text(folder: Path) -> Given:
  return of_parsers(
    (Text(constants={'source': 'all', 'language': 'de'}), ROWS),
    (Text('meta.text', source='meta.set', id=''), [*ROWS, {'meta': {'text': 'x', 'set': True}}, {'meta': None}, {'meta.text': 'dotted', 'meta': {'set': 2}}]),
  )


@case
def template(folder: Path) -> Given:
  rows = ({'a': 'A', 'b': {'c': [1, 'two', 2.5]}}, {'a': 'A', 'b': {}}, {'a': ' ', 'b': None}, {'a': b'bytes', 'b': {'c': ''}}, {'b': 1}, {'a': {}})
  return of_parsers((Template('{{Q}} {a}[[\n{b.c}!]] end', language='en'), rows))


@case
def instruction(folder: Path) -> Given:
  rows = ({'a': 'Größe?', 'b': {'c': 'of x'}, 'd': 1.5}, {'a': 'A', 'd': ['one', 'two']}, {'a': 'A', 'd': ' '}, {'a': 'A'}, {'a': None, 'd': 'x'})
  layout = Instruction('{{Q}} {a}[[\n{b.c}]]\nA:', ' {d}', language='en', id='')
  documents = of_parsers((layout, rows)).documents
  return Given(layout, [*documents, [layout.record('row', row).answers for row in rows[:2]]])


@case
def commit(folder: Path) -> Given:
  old, new = 'a\nb\nc\n', 'a\nB\nc'
  long = ''.join(f'{number}\n' for number in range(5000))
  rows = (
    {'message': ' fix \n', 'old_contents': old, 'new_contents': new, 'new_file': 'x.py', 'commit': 'abc'},
    {'message': 'new', 'old_contents': None, 'new_contents': new, 'commit': 1},
    {'message': 'gone', 'old_contents': old, 'new_contents': '', 'commit': 1},
    {'message': 'same', 'old_contents': old, 'new_contents': old, 'commit': 1},
    {'message': 'no file', 'old_contents': old},
  )
  given = of_parsers((Commit(), rows), (Commit(form='files'), rows), (Commit(diff='d'), [{'message': 'm', 'd': 'the diff', 'commit': ''}, {'message': 'm', 'd': ' '}]))
  large = Commit(context=1).record('row', {'message': 'm', 'old_contents': long, 'new_contents': long.replace('7', '8'), 'commit': ''})
  return Given(given.part, [*given.documents, large.text[:60], large.text[-60:], len(large.text)])


@case
def notebook(folder: Path) -> Given:
  code = {'cell_type': 'code', 'source': ['x = 1\n', '```'], 'outputs': []}
  prose = {'cell_type': 'markdown', 'source': '# Title\n'}
  of_kernel = lambda **spec: {'nbformat': 4, 'metadata': {'kernelspec': spec}, 'cells': [code]}
  notebooks = [
    {'nbformat': 4, 'metadata': {'language_info': {'name': 'IPython3'}}, 'cells': [prose, code, {'cell_type': 'raw', 'source': 'r'}]},
    {'nbformat': 3, 'worksheets': [{'cells': [{'cell_type': 'heading', 'level': 2, 'source': 'a\nb'}, {'cell_type': 'code', 'input': ['a', 'b'], 'language': 'python'}]}]},
    {'cells': [{'code': 'first format'}]},
    {'nbformat': 4, 'metadata': {}, 'cells': [{**code, 'metadata': {'vscode': {'languageId': 'SQL'}}}, {**code, 'metadata': {'polyglot_notebook': {'kernelName': 'fsharp'}}}]},
    {'nbformat': 4, 'cells': []},
    {'nbformat': 4, 'cells': [{'cell_type': 'odd', 'source': 'x'}]},
    {'nbformat': 4, 'cells': [7]},
    {'nothing': 1},
  ]
  kernels = [*kernel_languages.LANGUAGE_OF_KERNEL, 'julia-1.9', 'Python 3 (ipykernel)', 'conda-env-lab-py', 'conda-env-x-r', '.net-csharp', 'Apache Toree - Scala', 'xcpp17', 'unknown']
  of_kernels = [[name, kernel_languages.language_of_kernel(name)] for name in kernels]
  notebooks += [of_kernel(name='ir'), of_kernel(name='odd', display_name='Julia 1.6'), of_kernel(language='R')]
  rows = [{'text': json.dumps(each), 'id': 'i'} for each in notebooks]
  given = of_parsers((Notebook(), [*rows, {'text': ''}, {'text': '{'}]), (Notebook('', language='py'), notebooks[:1]))
  return Given(given.part, [*given.documents, *of_kernels])


HTML = (
  '<p>One  <b>two</b>\nthree</p><p>four<br>five</p>',
  '<ul><li>a<ul><li>b</li></ul></li><li><p>c</p></li></ul><ol start=3><li>d<li value=9>e</ol>',
  'in <code>a`b</code> and <code>``</code><pre><code>  x = 1\n\n  y</code></pre>',
  'x<sup>2</sup> a<sub>i+1</sub> <sub>small</sub> y<sup>(n)</sup>',
  '<table><tr><td>1</td><td>2</td></tr><tr><th>3</th></tr></table><script>no</script>',
  '<h1>T</h1><blockquote>q</blockquote><a href="u">link</a><img alt="p">&lt;&amp;&nbsp;&#955;',
  '<code>open <p>then</p>',
)


@case
def question(folder: Path) -> Given:
  rows = [{'title': 't', 'body': html, 'answers': [{'body': html, 'score': 2}, {'body': 'low', 'score': -1}], 'site': 'ru.stackoverflow', 'id': 5} for html in HTML]
  rows += [{'body': 'b', 'answers': None}, {'body': 'b', 'answers': 'no list'}, {'title': None, 'body': '', 'answers': []}, {'body': 'b', 'answers': ['plain', 7]}]
  plain = Question(html=False, answers='all', answer='text', source='', min_answers=1, max_answers=1, language='fr')
  return of_parsers((Question(min_score=0), rows), (plain, [{'body': ' b ', 'all': [{'text': 'x'}, {'text': 'y'}]}, {'body': 'b', 'all': []}]))


@case
def verified(folder: Path) -> Given:
  row = {'prompt': 'def f():\n', 'canonical_solution': '  return 1\n', 'test': 'assert f()', 'entry_point': 'f', 'task_id': 't/1', 'language': 'python'}
  checked = {**row, 'test': 'def check(candidate):\n  assert candidate()'}
  rows = (row, checked, {**row, 'language': 'go'}, {**row, 'canonical_solution': None}, {**row, 'test': ''}, {**checked, 'entry_point': ''}, {**row, 'prompt': 7})
  return of_parsers((Verified(), rows), (Verified(prompt='', solution='text', test='', entry_point='', id=''), [{'text': 'assert 1', 'language': 'python'}]))


@case
def puzzle(folder: Path) -> Given:
  row = {'name': 'n', 'sat': 'def sat(x): return x', 'sol_header': 'def sol():', 'sol_docstring': '  "doc"', 'sol_bodies': ['  return 1', '  return 2']}
  return of_parsers((Puzzle('src'), (row, {**row, 'sol_docstring': None}, {**row, 'sol_bodies': []}, {**row, 'sat': ''}, {**row, 'sol_bodies': [3]})))


# Filters.


@case
def max_floats(folder: Path) -> Given:
  ones = ('0.5', '.5', '1_000.25', '1e-5', '1.e-5', '2.5E3', '1.5f', '1.5em', '1.2.3', 'v1.5', 'in 1999.', '0x1.8', '7', '3e', '1e5x', '٣.٥')
  return of_filter(MaxFloats(0), ones)


@case
def hex_literals(folder: Path) -> Given:
  return of_filter(HexLiterals(), ('0x1f', '0X1F', 'a0x', '0 x'))


@case
def top_level_domain_lists(folder: Path) -> Given:
  names = sorted(KNOWN_DOMAINS)
  joined = (' '.join(names), '\n'.join(names).upper(), '# ' + ' '.join(names), ' '.join(names * 3), ' '.join(names) + ' word' * 5000, ' '.join(f'a.{name}' for name in names), ' '.join(names[:200]))
  return of_filter(TopLevelDomainLists(), [Record(text, id=f'text {index}') for index, text in enumerate((*joined, 'com net org', *names))])


@case
def generated_by(folder: Path) -> Given:
  return of_filter(GeneratedBy(20), ('# Generated BY x', ' ' * 8 + 'generated by', ' ' * 9 + 'generated by', 'generated  by'))


@case
def encoding(folder: Path) -> Given:
  return of_filter(Encoding(max_replaced=0.1, max_unprintable=0.1), ('a\0', '\ufffd' * 2 + 'x' * 8, '\ufffd' + 'x' * 9, '\x01\x02' + 'x' * 8, '\t\n\v\f\r\x85', '\x7f\x80'))


@case
def sets(folder: Path) -> Given:
  records = [Record('', source, id=source or 'none') for source in ('a', 'b', '')]
  return Given(Sets(keep=('a',)), [*of_filter(Sets(keep=('a',)), records).documents, *of_filter(Sets(drop=('a',)), records).documents])


@case
def languages(folder: Path) -> Given:
  spelled = ('C#', 'csharp', 'c_sharp', 'c++', 'golang', 'js', 'ts', 'py', 'rst', 'R Markdown', 'bash', 'latex', 'yml', 'md', ' Rust ', 'odd')
  found = [[name, Languages(keep=(name,)).keep] for name in spelled]
  records = [Record('', '', language, id) for language, id in (('Python', 'x'), ('', 'a/b.PY'), ('go', 'x.py'), ('', 'x'))]
  endings = [Record('', '', '', f'x{file}' if file.startswith('.') else file) for file in LANGUAGE_OF_FILE]
  filter = Languages(keep=('python', 'c++'))
  return Given(filter, [*found, *of_filter(filter, [*records, *endings]).documents])


@case
def extensions(folder: Path) -> Given:
  return of_filter(Extensions(keep=('.py', '.tar.gz', 'Makefile')), [Record('', id=id) for id in ('a/b.PY', 'x.tar.gz', 'gz', 'd/makefile', 'makefile.in', 'apy', '.py')])


@case
def size(folder: Path) -> Given:
  return of_filter(Size(2, 4), ('', 'a', 'é', 'abcd', 'ééé'))


@case
def passes_tests(folder: Path) -> Given:
  programs = ('assert True', 'assert False', 'import sys; sys.exit(3)', '')
  records = [Record('', language='python', program=program, id=program or 'none') for program in programs]
  records += [Record('', language='odd', program='x', id='odd'), Record('', program='x', id='no language')]
  return of_filter(PassesTests(Limits(cpu_seconds=5), allow_unsandboxed=True), records)


@case
def exact_duplicates(folder: Path) -> Given:
  filter = ExactDuplicates()
  return Given(filter, [[filter.reason(Record('a')), filter.key(Record(text, id='any')).hex()] for text in ('a', 'a', 'a ', 'é')])


@case
def parses(folder: Path) -> Given:
  texts = ('x = 1', 'print x', 'def f(:', '', 'a\0b', "'\\d'", '(' * 2000)
  return of_filter(Parses(), [Record(text, language='Python', id=text[:9]) for text in texts])


@case
def runs(folder: Path) -> Given:
  programs = ('assert True', 'assert False', 'def f(:', 'import nothing_of_this_name', 'print(1)', '')
  records = [Record(program, language='py', id=program or 'none') for program in programs]
  records += [Record('x', language='odd', id='odd'), Record('x', id='no language'), Record('x = 1', id='a.py')]
  return of_filter(Runs(Limits(cpu_seconds=5), allow_unsandboxed=True), records)


# Transformations.

PROGRAM = '''#!/usr/bin/env python
"""A module."""

from __future__ import annotations
import os.path as path, re  # both

TABLE = {'a': 1, "b": [0x1f, 1e-5, .5j],  # of numbers
\t  'c': ...}
LONG = TABLE if path else \\
      not re

@property
async def read(self, *names: str, key=lambda x: x ** 2) -> int | None:
\t"""Reads.

\t   Twice.
\t"""
\tif self.names != names and key:
\t    # What follows is long.
\t    return f'{self.names!r:>{len(names)}} {{x}} {names[0]=} # {key("é")}'
\t  # far
\t'a string alone'

class A(dict): "doc"; __slots__ = ('é',)

  # between


def empty():
        r''' + "'''" + '''only this''' + "'''" + '''
try: match = b'x' rb'y' if TABLE else print
except (OSError, re.error) as error: pass
'''


@case
def shuffle_lines(folder: Path) -> Given:
  return of_transformations(ShuffleLines(), ShuffleLines(seed=7), more=('a\nb\nc', 'a\nb\nc\n', '\n\n', 'a\rb\n'))


@case
def shuffle_tokens(folder: Path) -> Given:
  return of_transformations(ShuffleTokens(), ShuffleTokens(seed=7), more=('a.b.c.d.e == -1 .real', "x = b, 's', rb, ''", 'x = 1 \\\n  + 2'))


@case
def rename_identifiers(folder: Path) -> Given:
  of_names = (RenameIdentifiers(), RenameIdentifiers('own', seed=7), RenameIdentifiers(keep=('self', 'v1')))
  return of_transformations(*of_names, more=('x = ﬁ + fi', 'x = 1', 'f"{a[\'b\']:{c}}"'))


@case
def remove_comments(folder: Path) -> Given:
  return of_transformations(RemoveComments(), more=('# only\n', 'x = 1\r# y\r\n', '"doc"; x = 1'))


@case
def only_comments(folder: Path) -> Given:
  return of_transformations(OnlyComments(), more=('x = 1\n', 'x = 1\r# y\r\n', '("do" # in\n "c")'))


@case
def normalize_indentation(folder: Path) -> Given:
  more = ('if x:\n\ty\n\n\n', 'if x:\n        y\n\f# z', 'f(\n1,\n  )\n', 'if x:\n # a\n  # b\n  y')
  return of_transformations(NormalizeIndentation(), NormalizeIndentation(spaces=1), more=more)
