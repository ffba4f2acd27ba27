"""Evaluation sets are read as they are distributed; a mistake is one line that names the place."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json

import pytest

from codemix.contamination.items import EvaluationSet
from codemix.contamination.layouts import KNOWN, ItemLayout
from codemix.errors import UserError

# Each file of the shared evaluation sets: its records, whether it is code, and which parts its items have.
DISTRIBUTED = {
  'humaneval/HumanEval.jsonl.gz': (164, True, {'question', 'answer'}),
  'mbpp/mbpp.jsonl': (974, True, {'question', 'answer'}),
  'nq_open/NQ-open.dev.jsonl': (3610, False, {'question', 'answer'}),
  'boolq/dev.jsonl.gz': (3270, False, {'question', 'context'}),
  'piqa/valid.jsonl': (1838, False, {'question', 'answer'}),
  'hellaswag/hellaswag_val_subset1000.jsonl.gz': (1000, False, {'question', 'answer'}),
  'winogrande/dev.jsonl': (1267, False, {'question', 'answer'}),
  'copa/val.jsonl': (100, False, {'question', 'answer'}),
  'openbookqa/test.jsonl': (500, False, {'question', 'answer'}),
  'openbookqa/dev.jsonl': (500, False, {'question', 'answer'}),
  'socialiqa/dev.jsonl': (1954, False, {'question', 'answer'}),
  'qasc/dev.jsonl': (926, False, {'question', 'answer', 'context'}),
  'arc/ARC-Easy-Dev.jsonl': (570, False, {'question', 'answer'}),
  'arc/ARC-Challenge-Test.jsonl': (1172, False, {'question', 'answer'}),
  'truthfulqa/TruthfulQA.csv': (817, False, {'question', 'answer'}),
  'dolly/dolly_subset.jsonl': (151, False, {'question', 'answer', 'context'}),
  'lambada/lambada_openai.jsonl.gz': (5153, False, {'question'}),
  'cogs/dev.tsv': (3000, False, {'question', 'answer'}),
  'gsm8k/test.jsonl': (1319, False, {'question', 'answer'}),
  'multilingual_humaneval/HumanEval_go_v1.jsonl.gz': (160, True, {'question'}),
  'cruxeval/cruxeval.jsonl': (800, True, {'question', 'answer'}),
}


@pytest.mark.parametrize('file', DISTRIBUTED)
def test_each_distributed_set_is_read_whole(file, shared_data):
  records, code, parts = DISTRIBUTED[file]
  read = EvaluationSet('set', str(shared_data / 'eval' / file)).read()
  assert (len(read.items), read.code) == (records, code)
  assert {part for item in read.items for part, _ in item.passages} == parts
  assert len({item.id for item in read.items}) == records
  assert all(text.strip() for item in read.items[:20] for part, text in item.passages if part == 'question')


def write(path, *rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return str(path)


def texts(read):
  return [[text for _, text in item.passages] for item in read.items]


def test_fields_are_paths_lists_and_templates(tmp_path):
  row = {'q': {'a': 'one', 'b': ['two', {'c': 'three'}]}, 'n': 4}
  layout = ItemLayout(('q.a', '{q.a} {n}', 'q.b.c'), ('q.b',), id='n')
  read = EvaluationSet('set', write(tmp_path / 'set.jsonl', row), layout).read()
  assert texts(read) == [['one', 'one 4', 'three', 'two']]
  assert read.items[0].id == '4'


def test_a_blank_ends_a_passage(tmp_path):
  row = {'sentence': 'the cup fell because _ was full', 'option1': 'it', 'option2': 'he'}
  read = EvaluationSet('set', write(tmp_path / 'set.jsonl', row)).read()
  assert texts(read)[0][:2] == ['the cup fell because ', ' was full']


def test_plain_compressed_and_array_files_are_the_same_items(tmp_path):
  rows = [{'question': f'q{i}', 'answer': 'a'} for i in range(3)]
  plain = write(tmp_path / 'a.jsonl', *rows)
  (tmp_path / 'b.jsonl.gz').write_bytes(gzip.compress((tmp_path / 'a.jsonl').read_bytes()))
  (tmp_path / 'c.json').write_text(json.dumps(rows))
  files = [plain, str(tmp_path / 'b.jsonl.gz'), str(tmp_path / 'c.json')]
  assert len({tuple(map(tuple, texts(EvaluationSet('set', file).read()))) for file in files}) == 1
  assert len(EvaluationSet('set', tuple(files)).read().items) == 9


def test_every_layout_says_what_is_asked():
  assert all(layout.question for layout in KNOWN.values())


@pytest.mark.parametrize(
  ('contents', 'layout', 'says'),
  [
    ('{"x": 1}\n', None, 'set.jsonl:1 has the fields x'),
    ('{"question": "q", "answer": "a"}\n{"question"\n', None, 'set.jsonl:2 is not JSON'),
    ('["q"]\n', None, 'set.jsonl:record 0 is not a JSON object, but str'),
    ('{"question": "q", "answer": "a"}\n["q"]\n', None, 'set.jsonl:2 is not a JSON object, but list'),
    ('[{"question": "q"},]\n', None, 'set.jsonl is not JSON'),
    ('{"question": null, "answer": null}\n', None, "'quiz' has no text in question, answer of"),
    ('', None, 'is empty'),
    ('{"question": "q"}\n{"a": 1}\n', ItemLayout(('question',)), 'set.jsonl:2 has none of the fields question'),
    ('{"question": "q"}\n', ItemLayout(('question',), id='name'), "has no field 'name'"),
  ],
)
def test_a_set_that_cannot_be_read_says_where(contents, layout, says, tmp_path):
  (tmp_path / 'set.jsonl').write_text(contents)
  with pytest.raises(UserError) as caught:
    EvaluationSet('quiz', str(tmp_path / 'set.jsonl'), layout).read()
  assert says in str(caught.value) and '\n' not in str(caught.value)


def test_a_damaged_file_and_an_unknown_layout_are_refused(tmp_path):
  (tmp_path / 'set.jsonl.gz').write_bytes(gzip.compress(b'{"question": "q", "answer": "a"}\n' * 99)[:-20])
  with pytest.raises(UserError, match='is damaged'):
    EvaluationSet('quiz', str(tmp_path / 'set.jsonl.gz')).read()
  with pytest.raises(UserError, match="Did you mean 'gsm8k'"):
    EvaluationSet('quiz', 'set.jsonl', 'gsm8')
  with pytest.raises(UserError, match='matches no|no file|does not exist|nothing'):
    EvaluationSet('quiz', str(tmp_path / 'absent.jsonl')).read()


# Files as programs write them.

ROWS = [{'question': f'q{i} \u00e9', 'answer': 'a'} for i in range(3)]
LINES = ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in ROWS)
TABLE = 'question,answer\n' + ''.join(f'{row["question"]},{row["answer"]}\n' for row in ROWS)
TABS = TABLE.replace(',', '\t')
ARRAY = json.dumps(ROWS, ensure_ascii=False, indent=1)


@pytest.mark.parametrize('ends', ['\n', '\r\n', '\r'], ids=['lf', 'crlf', 'cr'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'utf-16 big'])
@pytest.mark.parametrize(
  ('name', 'text'),
  [('a.jsonl', LINES), ('a.json', LINES), ('a.json', ARRAY), ('a.jsonl', ARRAY), ('a.csv', TABLE), ('a.tsv', TABS), ('a.csv.gz', TABLE), ('a.json.gz', ARRAY)],
)
def test_marks_of_encodings_and_ends_of_lines_do_not_matter(tmp_path, name, text, encoding, ends):
  text = text.replace('\n', ends)
  stored = codecs.BOM_UTF16_BE + text.encode('utf-16-be') if encoding == 'utf-16 big' else text.encode(encoding)
  (tmp_path / name).write_bytes(gzip.compress(stored) if name.endswith('.gz') else stored)
  read = EvaluationSet('set', str(tmp_path / name), head=True).read()
  assert texts(read) == [[row['question'], 'a'] for row in ROWS]


def test_parquet_files_are_read(tmp_path):
  pa, pq = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
  pq.write_table(pa.Table.from_pylist([{'question': 'q', 'answer': ['a', 'b']}, {'question': None, 'answer': None}]), tmp_path / 'a.parquet')
  assert texts(EvaluationSet('set', str(tmp_path / 'a.parquet')).read()) == [['q', 'a', 'b'], []]
  (tmp_path / 'b.parquet').write_bytes((tmp_path / 'a.parquet').read_bytes()[:-9])
  with pytest.raises(UserError, match='b.parquet is damaged'):
    EvaluationSet('set', str(tmp_path / 'b.parquet')).read()


def test_a_cell_may_be_as_long_as_it_is(tmp_path):
  long = 'word ' * 100_000
  out = io.StringIO()
  csv.writer(out).writerows([['question', ' answer '], [long, 'a, "b"\nc'], [], ['q', 'a']])
  (tmp_path / 'a.csv').write_text(out.getvalue())
  assert texts(EvaluationSet('set', str(tmp_path / 'a.csv')).read()) == [[long, 'a, "b"\nc'], ['q', 'a']]


@pytest.mark.parametrize(
  ('name', 'stored', 'says'),
  [
    ('a.csv', TABLE.encode('latin-1'), 'is not UTF-8, nor UTF-16 with its mark'),
    ('a.jsonl', LINES.encode('utf-16-le'), 'is not JSON|is not UTF-8'),
    ('a.csv', b'question,answer\nwhy, oh why,a\n', 'record 1 has 3 cells for 2 columns'),
    ('a.xlsx', b'', 'is a .jsonl, .json, .csv or .tsv file'),
    ('a.csv', b'question,answer\n', 'is empty'),
    ('a.json', b'[]', 'is empty'),
    ('a.json', b'3', 'a.json:1 is not a JSON object, but int'),
  ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_in_a_line(tmp_path, name, stored, says):
  (tmp_path / name).write_bytes(stored)
  with pytest.raises(UserError, match=says) as caught:
    EvaluationSet('set', str(tmp_path / name)).read()
  assert '\n' not in str(caught.value)


# Sets in the form in which they were released, and in the form of the Hugging Face hub.

TRIVIA = {
  'Answer': {'Aliases': ['Sunset Blvd', 'Sunset Boulevard'], 'NormalizedAliases': ['sunset blvd'], 'NormalizedValue': 'sunset boulevard', 'Type': 'WikipediaEntity', 'Value': 'Sunset Boulevard'},
  'EntityPages': [{'DocSource': 'TagMe', 'Filename': 'Andrew_Lloyd_Webber.txt', 'Title': 'Andrew Lloyd Webber'}],
  'Question': 'Which musical premiered when?', 'QuestionId': 'tc_33', 'QuestionSource': 'http://www.triviacountry.com/', 'SearchResults': [],
}  # fmt: skip
TRIVIA_OF_HUB = {
  'question': 'Which musical?', 'question_id': 'tc_33', 'question_source': 'http://www', 'entity_pages': {'title': []}, 'search_results': {'title': []},
  'answer': {'aliases': ['Sunset Blvd'], 'normalized_aliases': ['sunset blvd'], 'value': 'Sunset Boulevard', 'type': 'WikipediaEntity'},
}  # fmt: skip
SCIQ = {'question': 'Which organism?', 'distractor3': 'viruses', 'distractor1': 'protozoa', 'distractor2': 'gymnosperms', 'correct_answer': 'mesophilic', 'support': 'They grow.'}
ANSWER = {'text': 'words cut out', 'answer_start': 9}
QUAC = {
  'paragraphs': [{
    'context': 'the passage CANNOTANSWER', 'id': 'C_1_0',
    'qas': [
      {'followup': 'y', 'yesno': 'x', 'question': 'What then?', 'answers': [ANSWER], 'id': 'C_1_0_q#0', 'orig_answer': ANSWER},
      {'followup': 'n', 'yesno': 'y', 'question': 'And now?', 'answers': [ANSWER], 'id': 'C_1_0_q#1', 'orig_answer': ANSWER},
    ],
  }],
  'section_title': 'Life', 'background': 'Who he was', 'title': 'A Man',
}  # fmt: skip
SQUAD = {'title': 'A', 'paragraphs': [{'context': 'the passage', 'qas': [{'answers': [ANSWER], 'question': 'Why?', 'id': '56be', 'is_impossible': False}]}]}
CB = {'premise': 'It was a complex language. It was peeled down.', 'hypothesis': 'the language was peeled down', 'label': 'entailment', 'idx': 0}
STORY = {
  'InputStoryid': '138d5bfb', **{f'InputSentence{n}': f'S{n}.' for n in range(1, 5)},
  'RandomFifthSentenceQuiz1': 'Good.', 'RandomFifthSentenceQuiz2': 'Bad.', 'AnswerRightEnding': '1',
}  # fmt: skip
STORY_OF_HUB = {'story_id': '1', **{f'input_sentence_{n}': f'S{n}.' for n in range(1, 5)}, 'sentence_quiz1': 'Good.', 'sentence_quiz2': 'Bad.', 'answer_right_ending': 1}
CHOICES = {'text': ['one', 'two'], 'label': ['A', 'B']}

RELEASED = {
  'triviaqa': ('dev.json', {'Data': [TRIVIA], 'Domain': 'Web', 'VerifiedEval': False, 'Version': 1.0}, [('tc_33', 'question:Which musical premiered when?', 'answer:Sunset Boulevard', 'answer:Sunset Blvd', 'answer:Sunset Boulevard')]),
  'triviaqa without answers': ('test.json', {'Data': [{key: TRIVIA[key] for key in ('Question', 'QuestionId')}], 'Domain': 'Web'}, [('tc_33', 'question:Which musical premiered when?')]),
  'triviaqa of the hub': ('a.jsonl', [TRIVIA_OF_HUB], [('tc_33', 'question:Which musical?', 'answer:Sunset Boulevard', 'answer:Sunset Blvd')]),
  'sciq': ('test.json', [SCIQ], [('0', 'question:Which organism?', 'answer:mesophilic', 'answer:protozoa', 'answer:gymnosperms', 'answer:viruses', 'context:They grow.')]),
  'quac': ('val_v0.2.json', {'data': [QUAC]}, [(f'C_1_0_q#{n}', f'question:{q}', 'context:Who he was', 'context:the passage CANNOTANSWER') for n, q in enumerate(('What then?', 'And now?'))]),
  'squad': ('dev-v2.0.json', {'version': 'v2.0', 'data': [SQUAD]}, [('56be', 'question:Why?', 'context:the passage')]),
  'squad of the hub': ('a.jsonl', [{'id': '56be', 'title': 'A', 'context': 'the passage', 'question': 'Why?', 'answers': {'text': ['x'], 'answer_start': [1]}}], [('56be', 'question:Why?', 'context:the passage')]),
  'quac of the hub': ('a.jsonl', [{'dialogue_id': 'C_1', 'background': 'Who', 'context': 'the passage', 'questions': ['a?', 'b?'], 'answers': {'texts': [['x']]}}], [('C_1', 'question:a?', 'question:b?', 'context:Who', 'context:the passage')]),
  'cb': ('val.jsonl', [CB], [('0', f'question:{CB["premise"]}', f'question:{CB["hypothesis"]}')]),
  'cb without labels': ('test.jsonl', [{key: CB[key] for key in ('premise', 'hypothesis', 'idx')}], [('0', f'question:{CB["premise"]}', f'question:{CB["hypothesis"]}')]),
  'storycloze': ('cloze_test_val__spring2016.csv', [STORY], [('138d5bfb', 'question:S1. S2. S3. S4.', 'answer:Good.', 'answer:Bad.')]),
  'storycloze without answers': ('cloze_test_test__winter2018.csv', [{key: value for key, value in STORY.items() if key != 'AnswerRightEnding'}], [('138d5bfb', 'question:S1. S2. S3. S4.', 'answer:Good.', 'answer:Bad.')]),
  'storycloze of the hub': ('a.jsonl', [STORY_OF_HUB], [('1', 'question:S1. S2. S3. S4.', 'answer:Good.', 'answer:Bad.')]),
  'arc of the hub': ('a.jsonl', [{'id': 'M_1', 'question': 'why?', 'choices': CHOICES, 'answerKey': 'A'}], [('M_1', 'question:why?', 'answer:one', 'answer:two')]),
  'openbookqa of the hub': ('a.jsonl', [{'id': '7', 'question_stem': 'why?', 'choices': CHOICES, 'answerKey': 'A'}], [('7', 'question:why?', 'answer:one', 'answer:two')]),
  'piqa of the hub': ('a.jsonl', [{'goal': 'g', 'sol1': 'a', 'sol2': 'b', 'label': 1}], [('0', 'question:g', 'answer:a', 'answer:b')]),
  'mbpp sanitized': ('a.json', [{'source_file': 'b', 'task_id': 2, 'prompt': 'Write', 'code': 'def', 'test_imports': [], 'test_list': []}], [('2', 'question:Write', 'answer:def')]),
  'mmlu of the hub': ('a.jsonl', [{'question': 'why?', 'subject': 's', 'choices': ['one', 'two'], 'answer': 1}], [('0', 'question:why?', 'answer:one', 'answer:two')]),
  'lambada of the hub': ('a.jsonl', [{'text': 'a long story'}], [('0', 'question:a long story')]),
  'rows of the hub': ('a.json', {'features': [], 'rows': [{'row_idx': 0, 'row': {'question': 'q', 'answer': 'a'}, 'truncated_cells': []}]}, [('0', 'question:q', 'answer:a')]),
}  # fmt: skip


@pytest.mark.parametrize('set', RELEASED)
def test_sets_are_known_in_the_form_in_which_they_are_released(tmp_path, set):
  name, released, items = RELEASED[set]
  if name.endswith('.csv'):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(released[0]), lineterminator='\r\n')
    writer.writeheader()
    writer.writerows(released)
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + out.getvalue().encode())
  elif name.endswith('.jsonl'):
    write(tmp_path / name, *released)
  else:
    (tmp_path / name).write_text(json.dumps(released, indent=2))
  read = EvaluationSet('set', str(tmp_path / name)).read()
  assert [(item.id, *(f'{part}:{text}' for part, text in item.passages)) for item in read.items] == items


def test_a_null_in_one_item_is_no_text_of_it(tmp_path):
  read = EvaluationSet('set', write(tmp_path / 'set.jsonl', {'question': 'q', 'answer': float('nan')}, {'question': None, 'answer': None})).read()
  assert texts(read) == [['q'], []]


@pytest.mark.parametrize(
  ('name', 'stored'),
  [
    ('a.json', '{"question": ["one?", "two?"], "answer": ["1", "2"]}'),  # Dataset.to_dict
    ('a.json', '{"question": {"0": "one?", "1": "two?"}, "answer": {"0": "1", "1": "2"}}'),  # DataFrame.to_json
    ('a.tsv', 'question\tanswer\none?\t1\ntwo?\t2\n'),
  ],
)
def test_a_table_by_columns_and_a_tsv_with_a_head_are_one_item_a_record(tmp_path, name, stored):
  (tmp_path / name).write_text(stored)
  assert texts(EvaluationSet('set', str(tmp_path / name)).read()) == [['one?', '1'], ['two?', '2']]


def test_an_open_quote_does_not_take_the_lines_behind_it(tmp_path):
  (tmp_path / 'a.csv').write_text('question,answer\n"one?,1\ntwo?,2\n')
  with pytest.raises(UserError, match='a.csv is damaged: unexpected end of data'):
    EvaluationSet('set', str(tmp_path / 'a.csv')).read()
