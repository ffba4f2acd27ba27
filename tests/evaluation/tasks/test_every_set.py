"""Every set is read in every form: right answers score 100%, equal scores give chance, wrong answers nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.results import Results
from codemix.evaluation.tasks import examples, passages
from codemix.evaluation.tasks.free_answer import FreeAnswer
from codemix.evaluation.tasks.multiple_choice import MultipleChoice, pairs_of
from codemix.evaluation.tasks.passages import LastWord
from codemix.evaluation.tasks.registry import (
  AGGREGATES,
  GROUPS,
  TASKS,
  aggregate,
  group_mean,
  select,
)
from codemix.evaluation.tasks.task import Settings
from tests.evaluation.tasks.fixtures import (
  FORMS,
  STORY,
  at,
  lines,
  parquet_at,
  story,
  table,
  text_at,
)
from tests.evaluation.tasks.stub_model import StubModel

REAL = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'eval'
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason='the folder of real evaluation sets is not beside the project')

# Items of the files in the shared folder: upstream's counts, but HellaSwag's, which is a sample of 1,000.
COUNTS = {
  'boolq': 3270, 'piqa': 1838, 'social_iqa': 1954, 'copa': 100, 'hellaswag': 1000, 'winogrande': 1267, 'arc_easy': 2376, 'arc_challenge': 1172,
  'openbookqa': 500, 'qasc': 926, 'truthfulqa_mc1': 817, 'truthfulqa_mc2': 817, 'lambada': 5153, 'nq_open': 3610, 'gsm8k': 1319,
  'cogs_dev': 3000, 'cogs_test': 3000, 'dolly': 151,
}  # fmt: skip


@pytest.fixture(autouse=True)
def documents_cost_a_nat_a_token(monkeypatch):
  monkeypatch.setattr(passages, 'score_documents', lambda model, documents, show: np.asarray([float(len(ids)) for ids, _ in documents]))


def check(task, folder: Path, count: int) -> None:
  evaluator = task.evaluator(Settings(EvaluationFolder(folder)))
  items = evaluator.items
  assert len(items) == count and len({item.id for item in items}) == count
  assert all(item.prompt or not hasattr(task, 'examples') for item in items)
  right = evaluator.run(knowing(items))
  assert right.scores['items'] == count and right.scores['gold_bits_per_byte'] > 0
  assert len(right.items['id']) == len(right.items['gold_nats']) == count
  equal, wrong = evaluator.run(StubModel()), evaluator.run(StubModel(nats=lambda context, text: 5.0, say=lambda *_: 'zzz'))
  if isinstance(task, MultipleChoice):
    check_choices(task, items, right, equal)
  elif isinstance(task, FreeAnswer | LastWord):
    assert right.scores['score'] == 1 and wrong.scores['score'] == 0
  assert evaluator.identity['items'] == count and evaluator.identity['data']


def knowing(items) -> StubModel:
  """A model that finds right answers likely, and says them."""
  right = {pair for item in items for at, pair in enumerate(pairs_of(item)) if at in item.gold} | {examples.reference(item) for item in items if not item.choices}
  said = {item.prompt: examples.reference(item)[1] for item in items if not item.choices}
  return StubModel(lambda context, text: (0.01 if (context, text) in right else 50.0) * len(text.encode()), lambda prompt, *_: said[prompt])


def check_choices(task: MultipleChoice, items, right: Results, equal: Results) -> None:
  # Social IQa asks five questions twice, with different answers.
  gold = {pair for item in items for at, pair in enumerate(pairs_of(item)) if at in item.gold}
  clear = [sum(pair in gold for pair in pairs_of(item)) == len(item.gold) for item in items]
  assert np.mean(clear) > 0.99
  assert right.items['correct'][clear].min() >= (0.97 if task.metric == 'gold_probability' else 1)
  assert right.scores[task.metric] == right.scores['score']
  assert right.scores['gold_probability'] > 0.98
  assert equal.scores['accuracy_raw'] == pytest.approx(equal.scores['chance'])
  assert equal.scores['gold_probability'] == pytest.approx(equal.scores['chance'])
  assert equal.scores['chance'] <= equal.scores['majority'] + 1e-9 or 'truthfulqa' in task.name
  np.testing.assert_allclose(np.mean(right.items['correct']), right.scores['score'])
  assert all(len(n) == len(b) == len(t) for n, b, t in zip(right.items['nats'], right.items['bytes'], right.items['tokens'], strict=True))


@pytest.mark.parametrize(('name', 'form', 'count', 'write'), FORMS, ids=[f'{name}, {form}' for name, form, *_ in FORMS])
def test_a_set_is_read_in_the_form(name, form, count, write, tmp_path):
  write(tmp_path)
  check(TASKS[name], tmp_path, count)


@needs_real
@pytest.mark.parametrize('name', COUNTS)
def test_a_released_file_has_the_published_items(name):
  check(TASKS[name], REAL, COUNTS[name])


def test_every_task_has_a_fixture_or_a_real_file():
  tested = {name for name, *_ in FORMS} | COUNTS.keys()
  assert TASKS.keys() - tested <= {'humaneval', 'mbpp', 'mbpp_all'} | {name for name in TASKS if name.startswith(('humaneval_', 'cruxeval', 'mbpp', 'local'))}


def test_a_missing_file_is_named_with_its_publisher(tmp_path):
  with pytest.raises(UserError, match=r"task 'piqa': .* lacks piqa/valid\.jsonl \(or piqa/dev\.jsonl, piqa/validation\*\.parquet, piqa/.*tfrecord-\*\).*ybisk/piqa"):
    TASKS['piqa'].evaluator(Settings(EvaluationFolder(tmp_path)))


def test_without_a_folder_the_message_says_how_to_name_one(monkeypatch):
  monkeypatch.delenv('CODEMIX_EVAL_DIR', raising=False)
  with pytest.raises(UserError, match='CODEMIX_EVAL_DIR'):
    TASKS['piqa'].evaluator(Settings())


@pytest.mark.parametrize(
  ('name', 'file', 'content', 'message'),
  [
    ('boolq', 'boolq/dev.jsonl', '{"question": "q", "passage": "p"}\n', r"dev\.jsonl:1 lacks the field 'label'"),
    ('arc_easy', 'arc/ARC-Easy-Test.jsonl', '{"id": "1", "question": {"stem": "s", "choices": [{"text": "a", "label": "A"}]}, "answerKey": "B"}\n', 'does not have the form'),
    ('hellaswag', 'hellaswag/hellaswag_val.jsonl', '{"ind": 1, "activity_label": "a", "ctx": "c", "endings": ["x", "y"], "label": ""}\n', 'does not have the form'),
    ('winogrande', 'winogrande/dev.jsonl', '{"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"}\n', "has no '_'"),
    ('nq_open', 'nq_open/NQ-open.dev.jsonl', '{"question": "q", "answer": []}\n', 'form'),
    ('gsm8k', 'gsm8k/test.jsonl', '{"question": "q", "answer": "12"}\n', '####'),
    ('gsm8k', 'gsm8k/test.jsonl', '{"question": "q", "answer": "x #### none"}\n', '####'),
    ('lambada', 'lambada/lambada_test.jsonl', '{"text": "word"}\n', 'no last word'),
    ('piqa', 'piqa/valid.jsonl', '{"goal": "g", "sol1": "", "sol2": "b", "label": 1}\n', 'item 0 has an empty choice'),
    ('boolq', 'boolq/dev.jsonl', '', 'no items'),
    ('boolq', 'boolq/dev.jsonl', '{"question": ', 'not JSON'),
    ('truthfulqa_mc1', 'truthfulqa/TruthfulQA.csv', 'Question,Best Answer\nq,a\n', 'Incorrect Answers'),
  ],
)
def test_a_row_of_another_form_is_named(name, file, content, message, tmp_path):
  (tmp_path / file).parent.mkdir(parents=True)
  (tmp_path / file).write_text(content)
  with pytest.raises(UserError, match=message):
    TASKS[name].evaluator(Settings(EvaluationFolder(tmp_path)))


def test_labels_that_do_not_fit_the_rows_are_refused(tmp_path):
  (tmp_path / 'piqa').mkdir()
  (tmp_path / 'piqa' / 'valid.jsonl').write_text('{"goal": "g", "sol1": "a", "sol2": "b"}\n')
  (tmp_path / 'piqa' / 'valid-labels.lst').write_text('0\n1\n')
  with pytest.raises(UserError, match='2 labels for 1 rows'):
    TASKS['piqa'].evaluator(Settings(EvaluationFolder(tmp_path)))


@pytest.mark.parametrize(
  'dialogue',
  [
    {'paragraphs': [{'context': 'c', 'id': 'd'}]},
    {'paragraphs': [{'context': 'c', 'qas': [{'id': 'q', 'question': 'x', 'answers': []}]}]},
    {'paragraphs': None},
    {'context': 'c', 'questions': ['x']},
  ],
)
def test_a_dialogue_of_another_form_is_named(dialogue, tmp_path):
  text_at('quac/val_v0.2.json', lines([dialogue, dialogue]))(tmp_path)
  with pytest.raises(UserError, match=r"task 'quac': .*val_v0\.2\.json:"):
    TASKS['quac'].evaluator(Settings(EvaluationFolder(tmp_path)))


# Folders as the hub has them hold every split of a set; only the one that is published as the test is scored.
SPLITS = {
  'triviaqa': ('validation', lambda n: {'question': n, 'question_id': n, 'answer': {'value': 'a', 'aliases': ['a'], 'normalized_aliases': ['a']}}),
  'nq_open': ('validation', lambda n: {'question': n, 'answer': ['a']}),
  'gsm8k': ('test', lambda n: {'question': n, 'answer': '#### 1'}),
  'mmlu': ('test', lambda n: {'question': n, 'subject': 's', 'choices': ['a', 'b'], 'answer': 1}),
  'lambada': ('test', lambda n: {'text': f'{n} word'}),
  'sciq': ('test', lambda n: {'question': n, 'correct_answer': 'a', 'distractor1': 'b', 'distractor2': 'c', 'distractor3': 'd', 'support': ''}),
}


@pytest.mark.parametrize('name', SPLITS)
def test_only_the_published_split_of_a_folder_is_scored(name, tmp_path):
  scored, row = SPLITS[name]
  for split in {'train', 'validation', 'test', 'dev'}:
    parquet_at(f'{name}/{split}-00000-of-00001.parquet', [row(f'{split} {number}') for number in range(3)])(tmp_path)
  items = TASKS[name].evaluator(Settings(EvaluationFolder(tmp_path))).items
  assert len(items) == 3 and all(scored in item.prompt for item in items)


def test_stories_of_one_year_are_scored(tmp_path):
  for number, file in enumerate(('cloze_test_val__spring2016 - cloze_test_ALL_val', 'cloze_test_val__winter2018-cloze_test_ALL_val - 1 - 1')):
    at(f'storycloze/{file}.csv', lambda path, number=number: table(path, [STORY, story(number)]))(tmp_path)
  at('storycloze/cloze_test_test__winter2018-cloze_test_ALL_test - 1.csv', lambda path: table(path, [STORY[:-1], story(9)[:-1]]))(tmp_path)
  [item] = TASKS['story_cloze'].evaluator(Settings(EvaluationFolder(tmp_path))).items
  assert 'of 1.' in item.prompt


def test_files_of_one_name_each_decide_the_identity(tmp_path):
  write = lambda subject, text: parquet_at(f'mmlu/{subject}/test-00000-of-00001.parquet', [SPLITS['mmlu'][1](text)])(tmp_path)
  write('anatomy', 'one'), write('virology', 'two')
  evaluator = TASKS['mmlu'].evaluator(Settings(EvaluationFolder(tmp_path)))
  assert len(evaluator.items) == len(evaluator.identity['data']) == 2


def fixture_of(name: str, folder: Path) -> Settings:
  next(write for found, _, _, write in FORMS if found == name)(folder)
  return Settings(EvaluationFolder(folder))


def test_examples_are_solved_and_never_the_question_itself(tmp_path):
  settings = fixture_of('mmlu', tmp_path)
  shot = lambda **changes: TASKS['mmlu'].evaluator(Settings(settings.folder, **changes))
  plain, few = shot(), shot(shots=3)
  assert few.name == 'tasks/mmlu-3shot' and few.identity != plain.identity
  for bare, item in zip(plain.items, few.items, strict=True):
    *shown, asked = item.prompt.split('\n\n')
    assert asked == bare.prompt and len(shown) == 3
    assert all(example != asked and example.startswith('Question') and 'Answer: ' in example for example in shown)
  assert [item.prompt for item in shot(shots=3).items] == [item.prompt for item in few.items]
  assert [item.prompt for item in shot(shots=3, seed=1).items] != [item.prompt for item in few.items]


def test_examples_are_of_the_subject_of_the_question(tmp_path):
  for split, count in (('test', 2), ('dev', 4)):
    for subject in ('anatomy', 'world_history'):
      rows = [[f'{subject} {split} {n}?', 'a', 'b', 'c', 'd', 'A'] for n in range(count)]
      at(f'mmlu/{split}/{subject}_{split}.csv', lambda path, rows=rows: table(path, rows))(tmp_path)
  items = TASKS['mmlu'].evaluator(Settings(EvaluationFolder(tmp_path), shots=3)).items
  assert [(item.prompt.count('anatomy dev'), item.prompt.count('world_history dev')) for item in items] == [(3, 0)] * 2 + [(0, 3)] * 2
  with pytest.raises(UserError, match='5 examples are asked for, and the set to draw them from has 4 other items of the topic'):
    TASKS['mmlu'].evaluator(Settings(EvaluationFolder(tmp_path), shots=5))


def test_wikitext_by_lines_is_wikitext_by_articles(tmp_path):
  by_form = {}
  for form in ('raw', 'hub'):
    next(write for name, of, _, write in FORMS if (name, of) == ('wikitext', form))(tmp_path / form)
    by_form[form] = TASKS['wikitext'].evaluator(Settings(EvaluationFolder(tmp_path / form))).items
  assert [item.reference for item in by_form['raw']] == [item.reference for item in by_form['hub']]
  assert [item.fields for item in by_form['raw']] == [item.fields for item in by_form['hub']]
  assert by_form['raw'][0].reference == ' = Box =\n\nA box is grey.\n\n== Colour ==\n\nIt is grey.\n\n'


def test_questions_and_examples_do_not_depend_on_the_order_of_the_file(tmp_path):
  items = {}
  for order in (1, -1):
    rows = [{'question': f'what is {n}', 'answer': [f'No {n}']} for n in range(40)][::order]
    for split in ('dev', 'train'):
      text_at(f'nq_open/NQ-open.{split}.jsonl', lines(rows))(tmp_path / str(order))
    found = TASKS['nq_open'].evaluator(Settings(EvaluationFolder(tmp_path / str(order)), limit=10, shots=3)).items
    items[order] = sorted(item.prompt for item in found)
  assert items[1] == items[-1] and len(items[1]) == 10


def test_a_set_without_a_split_for_examples_refuses_them(tmp_path):
  settings = fixture_of('quac', tmp_path)
  with pytest.raises(UserError, match='no split to draw examples from'):
    TASKS['quac'].evaluator(Settings(settings.folder, shots=1))


def test_a_higher_limit_adds_items(tmp_path):
  settings = fixture_of('sciq', tmp_path)
  limited = [TASKS['sciq'].evaluator(Settings(settings.folder, limit=limit)).items for limit in (2, 5, 10, 99)]
  ids = [[item.id for item in items] for items in limited]
  assert [len(of) for of in ids] == [2, 5, 10, 10]
  assert set(ids[0]) < set(ids[1]) < set(ids[2]) and ids[1] == sorted(ids[1], key=int)


def test_names_select_tasks_and_groups_once():
  chosen = select(['knowledge', 'piqa', 'triviaqa'])
  assert [task.name for task in chosen] == ['triviaqa', 'nq_open', 'piqa']
  with pytest.raises(UserError, match="no task or group is named 'hellswag'.*hellaswag"):
    select(['hellswag'])


def test_means_are_the_papers_and_need_every_task():
  scores = {task: number / 100 for group in GROUPS.values() for number, task in enumerate(group.tasks)}
  assert group_mean(scores, 'nl_reasoning') == pytest.approx(0.05)
  assert aggregate(scores, 'Total') == pytest.approx((0.05 + 0.005 + 0.005) / 3)
  assert aggregate({**scores} | {}, 'NL Avg') == pytest.approx((0.05 + 0.005) / 2)
  del scores['boolq']
  assert group_mean(scores, 'nl_reasoning') is None and aggregate(scores, 'Total') is None
  assert {group for groups in AGGREGATES.values() for group in groups} <= GROUPS.keys()
