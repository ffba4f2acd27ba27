"""Layouts make one document of each row, say what is broken in it, and never raise."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.commit import Commit, unified_diff
from codemix.data.corpus.layouts.instruction import Instruction
from codemix.data.corpus.layouts.notebook import Notebook
from codemix.data.corpus.layouts.question import Question
from codemix.data.corpus.layouts.template import Template
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.layouts.verified import Puzzle, Verified
from codemix.data.corpus.readers.json_array import JsonArray
from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.raw.record import BadRecord, Record
from codemix.errors import UserError
from tests.data.corpus.files import gzip_lines, read, read_good

VERIFIED = 'corpora/verified_code'

ANY = st.recursive(
  st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.binary(max_size=5)),
  lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
  max_leaves=6,
)
LAYOUTS = [
  Text(),
  Text('a.b', source='a', id='a.c'),
  Template('{a}[[{b.c}]]'),
  Instruction('{a}[[{b.c}]]', '{text}'),
  Commit(),
  Commit(form='files'),
  Commit(diff='diff'),
  Notebook(),
  Notebook(field=''),
  Verified(),
  Puzzle(),
  Question(),
  Question(html=False, min_score=1, max_answers=1),
]
FIELDS = (
  *('a', 'b', 'text', 'source', 'id', 'diff', 'message', 'old_contents', 'new_contents', 'new_file', 'commit'),
  *('prompt', 'canonical_solution', 'test', 'entry_point', 'task_id', 'language'),
  *('sat', 'sol_header', 'sol_docstring', 'sol_bodies', 'name'),
  *('title', 'body', 'answers', 'cells', 'metadata'),
)
CELL = st.dictionaries(st.sampled_from(['cell_type', 'source', 'input', 'level', 'body', 'score']), ANY)
VALUES = st.one_of(ANY, st.text(max_size=9), st.lists(CELL, max_size=3), st.lists(st.text(max_size=5), max_size=2))


@pytest.mark.parametrize('layout', LAYOUTS, ids=repr)
@given(row=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_row_whatever_raises(layout, row):
  found = layout.record('file:1', row)
  for each in found if isinstance(found, list) else [found]:
    assert each is None or isinstance(each, Record | BadRecord)
    if isinstance(each, Record):
      assert all(isinstance(value, str) for value in (each.text, each.source, each.language, each.id, each.program))
    elif each is not None:
      assert each.place == 'file:1' and each.reason


# Text.


def test_slim_pajamas_set_names_are_the_source():
  row = {'text': 'a page', 'meta': {'redpajama_set_name': 'RedPajamaC4'}}
  layout = Text(source='meta.redpajama_set_name', constants={'language': 'en'})
  assert layout.record('x:1', row) == Record('a page', 'RedPajamaC4', 'en')
  assert Text(source='meta.set').record('x:1', row) == BadRecord(
    'x:1', "no field 'meta.set'", 'its fields are meta.redpajama_set_name, text'
  )


def test_codemixs_own_records_need_no_names():
  row = {'text': 't', 'source': 's', 'language': 'l', 'id': 7}
  assert Text().record('x:1', row) == Record('t', 's', 'l', '7')
  assert Text(source='', id='', constants={'source': 'c'}).record('x:1', row) == Record('t', 'c', 'l', '')


def test_a_name_with_a_dot_in_it_is_found():
  assert Text('a.b').record('x:1', {'a.b': 'text'}).text == 'text'


@pytest.mark.parametrize(
  ('row', 'reason'),
  [
    ({}, "no field 'text'"),
    ({'text': 3}, "no string in 'text'"),
    ({'text': 2.5}, "no string in 'text'"),
    ({'text': True}, "no string in 'text'"),
    ({'text': ['a', 'b']}, "no string in 'text'"),
    ({'text': {'body': 'a'}}, "no string in 'text'"),
    ({'text': b'\xff'}, 'not UTF-8'),
    ({'text': 't', 'id': ['a']}, None),
  ],
)
def test_what_is_no_text_is_said(row, reason):
  found = Text().record('x:1', row)
  assert (found.reason if isinstance(found, BadRecord) else None) == reason


NULLS = [None, float('nan')]  # pandas writes NaN for a string that is missing


@pytest.mark.parametrize('null', NULLS, ids=str)
def test_a_text_that_is_null_is_an_empty_document_and_a_label_that_is_null_is_none(null):
  assert Text().record('x:1', {'text': null}) == Record('')
  assert Text('meta.text').record('x:1', {'meta': {'text': null}}) == Record('')
  assert Text('meta.text').record('x:1', {'meta': null}) == Record('')
  labelled = Text(source='meta.set', language='lang', id='n', constants={'language': 'en'})
  assert labelled.record('x:1', {'text': 'a', 'meta': {'set': null}, 'lang': null, 'n': null}) == Record('a', '', 'en', '')
  assert labelled.record('x:1', {'text': 'a', 'meta': {}, 'lang': 'en', 'n': 1}).reason == "no field 'meta.set'"


@pytest.mark.parametrize('null', NULLS, ids=str)
def test_null_is_nothing_in_every_other_layout(null):
  nothing = Template('{q}\n{a}').record('x:1', {'q': 'why', 'a': null})
  assert (nothing.reason, nothing.expected) == ("empty 'a'", True)
  assert Template('{q}[[\n{a}]]').record('x:1', {'q': 'why', 'a': null}).text == 'why'
  change = {'message': null, 'old_contents': null, 'new_contents': 'a', 'new_file': null, 'commit': null}
  assert Commit().record('x:1', change) == Record('--- /dev/null\n+++ b/file\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file')
  assert Question().record('x:1', {'site': null, 'title': 't', 'body': null, 'answers': [{'body': null}, {'body': 'b'}]}).text == 'Q: t\n\nA: b'
  assert Question().record('x:1', {'site': null, 'title': null, 'body': null, 'answers': null}).text == ''
  assert Notebook().record('x:1', {'text': null}).reason == 'empty notebook'
  problem = {'prompt': 'p', 'canonical_solution': 's', 'test': null, 'entry_point': 'f', 'task_id': null}
  assert Verified().record('x:1', problem).reason == 'no tests'
  unnamed = {**problem, 'language': 'python', 'test': 'def check(candidate):\n  pass', 'entry_point': null}
  assert Verified().record('x:1', unnamed).reason == 'no entry point'
  assert Verified().record('x:1', {**problem, 'test': 't', 'canonical_solution': null}).reason == 'no solution'


def test_a_corpus_of_nulls_counts_them_as_empty_and_names_no_missing_field(tmp_path):
  (tmp_path / 'a.jsonl').write_text('{"text": null}\n{"text": NaN}\n{"text": ""}\n{"text": "words"}\n')
  corpus = Corpus({'train': 'a.jsonl'}, root=str(tmp_path))
  corpus.check('train')
  assert [record.text for record in read_good(corpus)] == ['', '', '', 'words']
  (tmp_path / 'a.jsonl').write_text('{"text": null}\n')
  corpus.check('train')


SURROGATE = '\ud83d'


def test_a_lone_surrogate_in_any_field_leaves_strings_that_can_be_encoded(tmp_path):
  rows = [
    {'text': f'a{SURROGATE}', 'source': f's{SURROGATE}', 'language': f'l{SURROGATE}', 'id': f'i{SURROGATE}'},
    {f'text{SURROGATE}': 'a field of another name'},
  ]
  (tmp_path / 'a.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  good, bad = read(Corpus({'train': 'a.jsonl'}, root=str(tmp_path)))
  assert good == Record('a?', 's?', 'l?', 'i?')
  assert bad.detail.encode().decode() == 'its fields are text?'


# Instruction.


def test_an_instruction_is_its_prompt_and_its_answer_of_which_the_answer_counts():
  layout = Instruction('Do: {task}[[ on {context}]]\nSo:', ' {answer.text}', language='en')
  found = layout.record('x:1', {'task': 'add', 'context': '1 + 1', 'answer': {'text': '2'}})
  assert found.parts() == [('Do: add on 1 + 1\nSo:', False), (' 2', True)] and found.language == 'en'
  assert layout.record('x:1', {'task': 'add', 'context': None, 'answer': {'text': '2'}}).parts()[0] == ('Do: add\nSo:', False)
  nothing = layout.record('x:1', {'task': 'add', 'answer': {'text': ' '}})
  assert nothing.expected and nothing.reason == "empty 'answer.text'"
  assert set(layout.needed_fields()) >= {'task', 'context', 'answer.text'}


@pytest.mark.parametrize(('prompt', 'answer', 'named'), [('no field', '{a}', 'prompt'), ('{a}', 'none', 'answer'), ('{a', '{a}', 'prompt'), ('{a}', '', 'answer')])
def test_a_prompt_or_answer_that_is_no_template_is_an_error_that_names_it(prompt, answer, named):
  with pytest.raises(UserError, match=rf'Instruction\.{named}'):
    Instruction(prompt, answer)


# Template.


def test_fields_stand_in_the_sentence_and_optional_parts_go_without():
  layout = Template('Do: {task}[[\nGiven: {context}]]\nSo: {answer.text}', language='en')
  row = {'task': 'add {x}', 'context': 'a [[b]]', 'answer': {'text': '3'}}
  assert layout.record('x:1', row).text == 'Do: add {x}\nGiven: a [[b]]\nSo: 3'
  for context in ({'context': ''}, {'context': None}, {}):
    assert layout.record('x:1', {'task': 'add', 'answer': {'text': 3}, **context}).text == 'Do: add\nSo: 3'


def test_an_empty_field_has_nothing_to_say_and_a_missing_one_is_broken():
  layout = Template('{question}\n{answer}')
  empty = layout.record('x:1', {'question': 'why', 'answer': ' '})
  assert (empty.reason, empty.expected) == ("empty 'answer'", True)
  missing = layout.record('x:1', {'question': 'why'})
  assert (missing.reason, missing.expected) == ("no field 'answer'", False)


@pytest.mark.parametrize('template', ['no field', '{', 'a } b', '{}'])
def test_a_template_that_cannot_be_filled_is_refused(template):
  with pytest.raises(UserError, match=r'Template\.template'):
    Template(template)


def test_real_instruction_and_question_sets(shared_data):
  gsm8k = Corpus(
    {'train': 'math/gsm8k/train.jsonl.gz'},
    layout=Template('Question: {question}\nAnswer: {answer}', 'en'),
    root=str(shared_data / 'corpora'),
    name='gsm8k',
  )
  records = read_good(gsm8k)
  assert len(records) == 7473
  assert records[0].id == 'math/gsm8k/train.jsonl.gz:1' and records[0].source == 'gsm8k'
  aqua = Corpus(
    {'train': 'math/aqua/*.json'},
    layout=Template('{question}\n{options}\n{rationale}'),
    root=str(shared_data / 'corpora'),
  )
  assert 'A)32400\nB)6000\n' in read_good(aqua)[0].text


# Commit.


def test_a_commit_is_its_message_and_its_diff():
  row = {'message': 'Fix it\n', 'old_contents': 'a\nb\nc\n', 'new_contents': 'a\nB\nc\n', 'new_file': 'x.py', 'commit': 'f00'}
  found = Commit().record('x:1', row)
  assert found.text == 'Fix it\n\n--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c'
  assert found.id == 'f00'
  assert Commit(form='files').record('x:1', row).text == 'a\nb\nc\n\nFix it\n\na\nB\nc\n'
  same = Commit().record('x:1', {**row, 'new_contents': row['old_contents']})
  assert (same.reason, same.expected) == ('no change', True)
  made = Commit().record('x:1', {**row, 'old_contents': None}).text
  assert made.startswith('Fix it\n\n--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,3 @@\n+a')
  assert Commit().record('x:1', {'message': 'm', 'new_contents': 'a'}).reason == "no field 'old_contents'"


def test_an_unknown_form_is_refused():
  with pytest.raises(UserError, match='it is one of diff, files'):
    Commit(form='patch')


def test_real_commits_with_their_diffs(shared_data):
  path = shared_data / 'corpora/commits/python_peps/commits.jsonl.gz'
  told = [record['text'] for record in gzip_lines(path)]
  records = read_good(Corpus({'train': str(path)}, layout=Text(source='repo', id='commit')))
  assert [record.text for record in records] == told
  assert {record.source for record in records} == {'python/peps'}


@given(
  old=st.lists(st.sampled_from('abc'), max_size=12),
  new=st.lists(st.sampled_from('abc'), max_size=12),
  ends=st.tuples(st.booleans(), st.booleans()),
  context=st.integers(0, 4),
  compared=st.sampled_from([0, 4000]),
)
@settings(max_examples=60, deadline=None)
def test_a_diff_makes_the_new_file_of_the_old_one(tmp_path_factory, old, new, ends, context, compared):
  before, after = ('\n'.join(lines) + ('\n' if end and lines else '') for lines, end in zip((old, new), ends, strict=True))
  if before == after or not before or not after:
    return
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys.modules[Commit.__module__], '_MAX_COMPARED_LINES', compared)
    diff = unified_diff(before, after, 'file', context)
  folder = tmp_path_factory.mktemp('diff')
  (folder / 'file').write_text(before)
  applied = ['git', 'apply', '--unidiff-zero', '-']
  subprocess.run(applied, cwd=folder, input=diff + '\n', text=True, check=True)
  assert (folder / 'file').read_text() == after


def test_a_rewritten_file_of_many_lines_takes_no_time():
  old = '\n'.join(f'old {number % 97}' for number in range(60_000))
  new = '\n'.join(f'new {number % 89}' for number in range(60_000))
  assert unified_diff(old, new, 'file').count('\n') > 110_000


# Notebook.


def notebook(*cells, **metadata):
  return {'cells': list(cells), 'metadata': metadata, 'nbformat': 4}


def cell(kind, source, **more):
  return {'cell_type': kind, 'source': source, 'metadata': {}, **more}


def test_cells_are_one_document_without_outputs():
  found = Notebook().record(
    'x:1',
    {
      'text': json.dumps(
        notebook(
          cell('markdown', ['# Title\n', 'words']),
          cell('code', 'x = 1\nprint(x)\n', outputs=[{'text': ['secret output']}], execution_count=1),
          cell('raw', 'raw'),
          cell('code', '  \n'),
          cell('code', 's = """```"""'),
          kernelspec={'language': 'julia'},
        )
      )
    },
  )
  assert found.text == '# Title\nwords\n\n```julia\nx = 1\nprint(x)\n```\n\n````julia\ns = """```"""\n````'
  assert found.language == 'julia'


def test_notebooks_of_format_3_are_read():
  old = {'worksheets': [{'cells': [{'cell_type': 'heading', 'level': 2, 'source': 'Head'}, {'cell_type': 'code', 'input': ['a = 1']}]}]}
  assert Notebook(field='').record('x:1', old).text == '## Head\n\n```python\na = 1\n```'


def book(nbformat, cells, **metadata):
  about = {'metadata': metadata, 'nbformat': nbformat, 'nbformat_minor': 0}
  return {**about, 'worksheets': [{'cells': cells}]} if nbformat < 4 else {**about, 'cells': cells}


@pytest.mark.parametrize('nbformat', [2, 3, 4])
@pytest.mark.parametrize(
  ('lines', 'text'),
  [
    (['a = 1', 'b = 2'], 'a = 1\nb = 2'),  # format 2 as IPython wrote it, and writers of 3 and 4 that split at line ends
    (['def f(x):', '', '    return x'], 'def f(x):\n\n    return x'),
    (['a = 1\n', '\n', 'b = 2'], 'a = 1\n\nb = 2'),  # format 4 as Jupyter writes it
    (['a = 1\n', '', 'b = 2\n', ''], 'a = 1\nb = 2'),
    (['a = 1\n', 'b = 2', 'c = 3'], 'a = 1\nb = 2\nc = 3'),
    (['a = 1\r\n', 'b = 2\r\n'], 'a = 1\r\nb = 2\r'),
    (['s = "\u2028', '"\n', 't'], 's = "\u2028"\nt'),  # str.splitlines cuts here too
    ('a = 1\nb = 2\n', 'a = 1\nb = 2'),
  ],
)
def test_the_lines_of_a_cell_stay_apart_whichever_format_wrote_them(nbformat, lines, text):
  key = 'input' if nbformat < 4 else 'source'
  cells = [{'cell_type': 'code', key: lines, 'language': 'python', 'outputs': [{'text': ['no']}], 'prompt_number': 1}]
  cells += [{'cell_type': 'markdown', 'source': lines}]
  found = Notebook(field='').record('x:1', book(nbformat, cells, kernelspec={'language': 'python'}))
  assert found == Record(f'```python\n{text}\n```\n\n{text}', '', 'python')


def test_notebooks_of_format_1_are_read():
  old = {'cells': [{'cell_type': 'text', 'text': 'Words'}, {'cell_type': 'code', 'code': 'a = 1\nb = 2', 'prompt_number': 3}]}
  for row in (old, {**old, 'nbformat': 1}):
    assert Notebook(field='').record('x:1', row) == Record('Words\n\n```python\na = 1\nb = 2\n```', '', 'python')


def code_of(found):
  return found.language, found.text


@pytest.mark.parametrize(
  ('metadata', 'language'),
  [
    ({'kernelspec': {'name': 'ir', 'display_name': 'R'}}, 'r'),
    ({'kernelspec': {'display_name': 'R'}}, 'r'),
    ({'kernelspec': {'name': 'ir'}, 'language_info': {'name': 'R'}}, 'r'),
    ({'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}, 'language_info': {'name': 'R'}}, 'r'),
    ({'kernelspec': {'name': 'python3', 'display_name': 'Python 3'}}, 'python'),
    ({'kernelspec': {'name': 'conda-env-lab-py', 'display_name': 'Python [conda env:lab]'}}, 'python'),
    ({'kernelspec': {'name': 'lab', 'display_name': 'Python (lab)'}}, 'python'),
    ({'kernelspec': {'name': 'julia-1.9', 'display_name': 'Julia 1.9.2'}}, 'julia'),
    ({'kernelspec': {'name': 'xcpp17', 'display_name': 'C++17', 'language': 'C++17'}}, 'c++17'),
    ({'kernelspec': {'name': '.net-csharp', 'display_name': '.NET (C#)'}}, 'c#'),
    ({'kernelspec': {'name': 'my-kernel', 'display_name': 'My own'}}, ''),
    ({'kernelspec': {'name': 'x', 'language': None}}, ''),
    ({'language_info': {'name': 'ipython', 'version': '3.8'}}, 'python'),
    ({'kernel_info': {'name': 'python2'}}, 'python'),
    ({'application/vnd.databricks.v1+notebook': {'language': 'scala'}}, 'scala'),
    ({'colab': {'name': 'x.ipynb'}}, ''),
    ({}, ''),
  ],
)
def test_a_notebook_has_the_language_that_it_says_and_else_none(metadata, language):
  found = Notebook(field='').record('x:1', book(4, [cell('code', 'x <- 1')], **metadata))
  assert code_of(found) == (language, f'```{language}\nx <- 1\n```')


def test_the_language_of_a_cell_is_its_own():
  cells = [cell('code', 'SELECT 1'), cell('code', 'x = 1')]
  cells[0]['metadata'] = {'vscode': {'languageId': 'sql'}}
  found = Notebook(field='').record('x:1', book(4, cells, kernelspec={'language': 'python'}))
  assert code_of(found) == ('python', '```sql\nSELECT 1\n```\n\n```python\nx = 1\n```')
  julia = [{'cell_type': 'code', 'language': 'julia', 'input': 'x = 1'}]
  assert code_of(Notebook(field='').record('x:1', book(3, julia))) == ('julia', '```julia\nx = 1\n```')
  written_by_ipython = [{'cell_type': 'code', 'language': 'python', 'input': 'x = 1'}]
  assert Notebook(field='').record('x:1', book(3, written_by_ipython, language='Julia')).language == 'julia'


@pytest.mark.parametrize('ticks', ['```', '````', '`````'])
def test_a_cell_that_holds_a_fence_stands_in_a_longer_one(ticks):
  code = f'doc = """\n{ticks}python\nx\n{ticks}\n"""'
  found = Notebook(field='').record('x:1', book(4, [cell('code', code)])).text
  assert found == f'{ticks}`\n{code}\n{ticks}`'


@pytest.mark.parametrize(
  'row',
  [
    {'text': ''},
    {'text': ' \n'},
    {'text': json.dumps(book(4, []))},
    {'text': json.dumps({'nbformat': 3, 'nbformat_minor': 0, 'metadata': {}})},  # nbformat's test3_no_worksheets.ipynb
    {'text': json.dumps({'nbformat': 3, 'metadata': {}, 'worksheets': [{}]})},
    {'text': json.dumps({'nbformat': 4, 'metadata': None, 'cells': None})},
    {'text': json.dumps(book(4, [cell('raw', 'x'), cell('code', [])]))},
  ],
)
def test_a_notebook_without_text_is_passed_over_and_not_broken(row):
  found = Notebook().record('x:1', row)
  assert (found.reason, found.expected) == ('empty notebook', True)


def test_no_cell_of_a_notebook_is_left_out_without_a_word():
  cells = [{'cell_type': 'html', 'source': '<b>x</b>'}, {'source': 'y'}, {'source': 'z', 'outputs': []}]
  cells += [{'cell_type': 'heading', 'level': 10**9, 'source': ['Two\n', 'lines']}]
  assert Notebook(field='').record('x:1', book(4, cells)).text == '<b>x</b>\n\ny\n\n```\nz\n```\n\n###### Two lines'
  unknown = Notebook(field='').record('x:1', book(4, [{'cell_type': 'chart', 'source': 'x'}]))
  assert (unknown.reason, unknown.detail) == ('not a notebook', "a cell is of the type 'chart'")


def test_notebooks_in_files_in_parquet_and_in_json_lines_are_the_same(shared_data, tmp_path):
  import pyarrow as pa
  import pyarrow.parquet as pq

  texts = [record['text'] for record in gzip_lines(shared_data / 'corpora/verified_code/cruxeval_text/cruxeval_text.jsonl.gz')[:20]]
  cells = [[cell('markdown', 'A check.'), cell('code', text, outputs=[])] for text in texts]
  made = [json.dumps(notebook(*each, kernelspec={'name': 'python3'})) for each in cells]
  for number, text in enumerate(made):
    (tmp_path / 'books').mkdir(exist_ok=True)
    (tmp_path / f'books/{number:02}.ipynb').write_text(text)
  pq.write_table(pa.table({'content': made}), tmp_path / 'a.parquet')
  files = Corpus({'train': 'books'}, WholeFiles(include=('*.ipynb',)), Notebook(), root=str(tmp_path))
  table = Corpus({'train': 'a.parquet'}, Parquet(columns=('content',)), Notebook('content'), root=str(tmp_path))
  found = [record.text for record in read_good(files)]
  assert found == [record.text for record in read_good(table)]
  assert found[0] == f'A check.\n\n```python\n{texts[0].strip(chr(10))}\n```'


# Verified code.


def test_each_solved_problem_of_mbxp_is_a_program_with_its_tests(shared_data):
  corpus = Corpus({'train': 'mbxp/*.gz'}, layout=Verified(), root=str(shared_data / VERIFIED))
  items = read(corpus)
  records = [item for item in items if isinstance(item, Record)]
  unsolved = [item for item in items if isinstance(item, BadRecord)]
  assert {(item.reason, item.expected) for item in unsolved} == {('no solution', True)}
  assert (len(records), len(unsolved)) == (7781, 807)
  assert all(record.program.startswith(record.text) and len(record.program) > len(record.text) for record in records)
  assert {record.language for record in records} >= {'python', 'java', 'kotlin', 'php', 'ruby', 'typescript'}


@pytest.mark.parametrize(
  ('files', 'reader', 'layout', 'count'),
  [
    ('mbxp/mbpp_release_v1.jsonl.gz', None, Verified(), 974),
    ('mathqa_python/*.gz', None, Verified(), 1883),
    ('p3_puzzles/puzzles.json.gz', JsonArray(), Puzzle(), None),
    ('cruxeval_text/*.gz', None, Verified(prompt='', solution='text', test='', entry_point='', id='id'), 800),
  ],
)
def test_programs_check_what_they_say(shared_data, files, reader, layout, count):
  corpus = Corpus({'train': files}, **({'reader': reader} if reader else {}), layout=layout, root=str(shared_data / VERIFIED))
  records = [item for item in read(corpus) if isinstance(item, Record)]
  assert count is None or len(records) == count
  for record in records[:5]:
    exec(compile(record.program, record.id, 'exec'), {'__name__': 'checked'})
  # The same tests fail when every function gives another value.
  wrong = records[0].program.replace('return ', 'return None and ')
  with pytest.raises(AssertionError):
    exec(compile(wrong, 'wrong', 'exec'), {'__name__': 'checked'})


def test_every_solution_of_a_puzzle_is_a_document(shared_data):
  told = {record['text'] for record in gzip_lines(shared_data / VERIFIED / 'p3_puzzles/puzzles_text.jsonl.gz')}
  corpus = Corpus({'train': 'puzzles.json.gz'}, JsonArray(), Puzzle(), root=str(shared_data / VERIFIED / 'p3_puzzles'))
  found = {item.text for item in read(corpus) if isinstance(item, Record)}
  assert len(found & told) > 0.99 * len(told)


# Question.


def test_a_question_with_answers_in_their_order():
  row = {'id': 5, 'site': 'math', 'title': 'Why?', 'body': '<p>I ask.</p>', 'answers': [{'body': '<p>So</p>', 'score': 3}, {'body': 'No', 'score': -1}]}
  assert Question().record('x:1', row) == Record('Q: Why?\n\nI ask.\n\nA: So\n\nA: No', 'math', 'en', 'math/questions/5')
  assert Question(min_score=0).record('x:1', row).text == 'Q: Why?\n\nI ask.\n\nA: So'
  assert Question(max_answers=0).record('x:1', row).text == 'Q: Why?\n\nI ask.'
  assert Question(min_answers=3).record('x:1', row) is None


@pytest.mark.parametrize(
  ('site', 'language'),
  [('ru.stackoverflow.com', 'ru'), ('pt.meta.stackoverflow', 'pt'), ('rus.stackexchange.com', 'ru'), ('stackoverflow', 'en'), ('math', 'en')],
)
def test_a_question_is_in_the_language_of_its_site(site, language):
  row = {'site': site, 'body': 'a', 'answers': []}
  assert Question().record('x:1', row).language == language
  assert Question(language='de').record('x:1', row).language == 'de'


def test_a_question_from_json_lines_with_other_names():
  layout = Question(title='', body='question', answers='replies', html=False, source='', id='url')
  row = {'question': 'a < b ?', 'replies': ['yes', 'no'], 'url': 'u'}
  assert layout.record('x:1', row).text == 'Q: a < b ?\n\nA: yes\n\nA: no'
