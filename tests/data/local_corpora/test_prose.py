"""Prose is found in docstrings and comments, without its code and markup."""

import ast
import gzip
import json
import sysconfig
import tokenize
import warnings
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.data.local_corpora.documentation import passages
from codemix.data.local_corpora.prose import paragraphs
from codemix.data.local_corpora.sentences import is_prose, is_summary, whole_sentences

LIBRARY = Path(sysconfig.get_path('stdlib'))
SENTENCE = 'The rows of a table are sorted by the first of its columns, unless another is named.'
OTHER = 'It is an error to sort by a column that is not there, or to name the same one twice.'


# Finding passages in source.


def test_docstrings_and_blocks_of_comments_are_found_in_order():
  source = (
    '#!/usr/bin/env python\n"""Module."""\nx = 1  # beside code\n# One\n# block.\n\n# Another.\n'
    'class A:\n  r"""Raw \\n."""\n  # Inside.\n  def f(self): \'\'\'Line\\none.\'\'\'\n'
    '  y = """no docstring"""\n  z = "# no comment"\n'
  )
  assert list(passages(source)) == [
    '/usr/bin/env python', 'Module.', ' One\n block.', ' Another.', 'Raw \\n.', ' Inside.', 'Line\none.',
  ]  # fmt: skip


@pytest.mark.parametrize('name', ['argparse.py', 'inspect.py', 'typing.py', 'email/message.py'])
def test_every_docstring_of_a_real_module_is_found(name):
  with tokenize.open(LIBRARY / name) as file:
    source = file.read()
  expected = {
    ast.get_docstring(node, clean=False)
    for node in ast.walk(ast.parse(source))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
  } - {None}
  single_quoted = {text for text in expected if f'"{text}"' in source and f'""{text}' not in source}
  assert expected - single_quoted <= set(passages(source))


@given(st.text(alphabet='#"\'\\\n: fx=', max_size=60))
def test_no_text_breaks_the_search(text):
  with warnings.catch_warnings(action='ignore'):
    list(passages(text))


# Keeping prose.


@pytest.mark.parametrize(
  'noise',
  [
    '>>> sort(rows)\nThe output of a call is not what anyone wrote in order to be read.',
    '```\nthe body of a fence is for the machine and not for a reader of the text.\n```',
    'For example::\n\n  the body of a block is for the machine and not for a reader.',
    '.. code-block:: python\n\n   the body of a block is for the machine and not for a reader.',
    ':param rows: the rows that are to be sorted, in the order in which they are read.',
    '@param rows: the rows that are to be sorted, in the order in which they are read.',
    'Args:\n  rows: The rows that are to be sorted, in the order in which they are read.',
    '| The rows of this table | are not the sentences | of any text that is read |',
    '+------+------+\n| a    | b    |\n+------+------+',
    '# A heading is not a sentence although it has as many of the words.',
    'A Heading Over The Text And Not A Sentence\n==========================================',
    'x = f(y) + g(z); return the_value[i], other_value.name(argument=1) if a < b else c.d',
    'Licensed under the terms of a license that is to be found in the file beside this one.',
    'Written by the author of this module, who is to be reached at the address a@b.org.',
    '[![badge](https://a.b/c.svg)](https://a.b)',
    '<p align="center"><img src="a.png"></p>',
    'Das ist ein Satz der deutschen Sprache, und er soll nicht in den Text gelangen.',
  ],
)
def test_what_is_not_prose_goes_and_the_prose_around_it_stays(noise):
  assert paragraphs(f'{SENTENCE}\n\n{noise}\n\n{OTHER}') == [SENTENCE, OTHER]


@pytest.mark.parametrize('name', ['Parameters', 'Returns', 'See Also', 'Examples'])
def test_a_section_of_fields_lasts_until_the_next_one(name):
  fields = f'{name}\n{"-" * len(name)}\nrows : list\n  {SENTENCE}\n\n{SENTENCE}'
  assert paragraphs(f'{SENTENCE}\n\n{fields}\n\nNotes\n-----\n{OTHER}') == [SENTENCE, OTHER]


@pytest.mark.parametrize(
  ('marked', 'plain'),
  [
    ('The ``rows`` of a `table` are *sorted* by', 'The rows of a table are sorted by'),
    (
      'The :class:`~a.Rows` of a :ref:`table <tables>` are sorted by',
      'The a.Rows of a table are sorted by',
    ),
    (
      'The [rows](https://a.b) of a `table <https://a.b>`_ are **sorted** by',
      'The rows of a table are sorted by',
    ),
    (
      'The <b>rows</b> of a table &amp; list are\n    _sorted_ by',
      'The rows of a table & list are sorted by',
    ),
    ('- The rows of a table are sorted by', 'The rows of a table are sorted by'),
    ('NOTE(someone): The rows of a table are sorted by', 'The rows of a table are sorted by'),
    ('.. note:: The rows of a table are sorted by', 'The rows of a table are sorted by'),
  ],
)
def test_markup_inside_sentences_goes(marked, plain):
  rest = ' the first of its columns, unless another is named.'
  assert paragraphs(marked + rest) == [plain + rest]


def test_a_paragraph_is_one_line_and_ends_with_a_sentence():
  wrapped = SENTENCE.replace(' by', '\n  by')
  assert paragraphs(f'{wrapped} For example, with two columns:\n\n  sort(rows, 2)') == [SENTENCE]


def test_half_a_surrogate_pair_does_not_get_through():
  assert paragraphs('\ud800' + SENTENCE) == [SENTENCE]


def test_a_summary_needs_more_prose_behind_it():
  summary = 'Sorts the rows of a table.'
  assert paragraphs(f'{summary}\n\n{SENTENCE}') == [summary, SENTENCE]
  assert paragraphs(f'{summary}\n\n>>> sort(rows)\n' + 'row\n' * 60) == []


@given(st.text(max_size=300))
def test_prose_stays_prose_when_read_again(text):
  for paragraph in paragraphs(f'{text}\n\n{SENTENCE}\n\n{OTHER}'):
    assert '\n' not in paragraph
    assert is_prose(paragraph) or is_summary(paragraph)
    assert whole_sentences(paragraph) == paragraph


def read_lines(path, count):
  with gzip.open(path, 'rt', encoding='utf-8') as lines:
    return [json.loads(line) for line in islice(lines, count)]


def test_novels_are_prose(shared_data):
  path = shared_data / 'corpora/text/english_novels/novels-00000-of-00003.jsonl.gz'
  found = [
    ' '.join(paragraph.split())
    for record in read_lines(path, 40)
    for paragraph in record['text'].split('\n\n')
  ]
  found = [paragraph for paragraph in found if len(paragraph) > 200]
  assert len(found) > 500
  assert sum(map(is_prose, map(whole_sentences, found))) > 0.97 * len(found)


@pytest.mark.parametrize(
  ('file', 'field'),
  [
    ('code/card2code/hearthstone.jsonl.gz', 'text'),
    ('code/codexglue_java_csharp/valid.jsonl.gz', 'text'),
    ('verified_code/cruxeval_text/cruxeval_text.jsonl.gz', 'text'),
  ],
)
def test_code_is_not_prose(shared_data, file, field):
  records = read_lines(shared_data / 'corpora' / file, 500)
  size = sum(len(record[field]) for record in records)
  found = sum(len(paragraph) for record in records for paragraph in paragraphs(record[field]))
  assert size > 50_000
  assert found < 0.01 * size
