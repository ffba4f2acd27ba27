"""Made-up evaluation sets, in the forms in which upstream releases them and in those of the Hugging Face hub."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COLOURS = ('red', 'green', 'blue', 'grey')


def lines(rows: list[dict]) -> str:
  return '\n'.join(map(json.dumps, rows)) + '\n'


def table(path: Path, rows: list[list[str]]) -> None:
  with path.open('w', newline='') as file:
    csv.writer(file).writerows(rows)


def lettered(number: int, labels: str = 'ABCD') -> dict[str, Any]:
  choices = [{'text': f'the {colour} one', 'label': label} for colour, label in zip(COLOURS, labels, strict=True)]
  return {'id': f'q{number}', 'question': {'stem': f'Which box is number {number}?', 'choices': choices}, 'answerKey': labels[number % 4]}


def lettered_of_hub(number: int) -> dict[str, Any]:
  row = lettered(number)
  choices = row['question']['choices']
  return {
    'id': row['id'],
    'question': row['question']['stem'],
    'choices': {'text': [c['text'] for c in choices], 'label': [c['label'] for c in choices]},
    'answerKey': row['answerKey'],
  }


def boolq(n: int) -> dict:
  return {'question': f'is box {n} red', 'passage': f'Box {n} is red.', 'answer': n % 3 > 0, 'title': 'Boxes'}


def sciq(n: int) -> dict:
  row = {f'distractor{at}': f'{colour} {n}' for at, colour in enumerate(COLOURS[:3], 1)}
  return {'question': f'What is {n}?', **row, 'correct_answer': f'grey {n}', 'support': '' if n == 2 else f'It is grey {n}.'}


def cb(n: int) -> dict:
  label = ('entailment', 'contradiction', 'neutral')[n % 3]
  return {'premise': f'Box {n} is red, they said.', 'hypothesis': f'box {n} is red', 'label': label, 'idx': n}


def copa(n: int) -> dict:
  return {'premise': f'Box {n} fell.', 'choice1': 'It was loose.', 'choice2': 'It was tied.', 'question': ('cause', 'effect')[n % 2], 'label': n % 2, 'idx': n}


STORY = ['InputStoryid', *(f'InputSentence{n}' for n in range(1, 5)), 'RandomFifthSentenceQuiz1', 'RandomFifthSentenceQuiz2', 'AnswerRightEnding']


def story(n: int) -> list[str]:
  return [f'story-{n}', *(f'Sentence {k} of {n}.' for k in range(4)), f'It ended {n}.', f'It went on {n}.', str(1 + n % 2)]


def hellaswag(n: int) -> dict:
  return {
    'ind': n, 'activity_label': 'Boxes', 'ctx_a': f'A box [title] number {n}.', 'ctx_b': 'the box', 'ctx': f'A box [title] number {n}. the box',
    'endings': [f'is {colour} [step] {n}.' for colour in COLOURS], 'label': n % 4, 'split': 'val', 'split_type': 'indomain', 'source_id': f's{n}',
  }  # fmt: skip


def winogrande(n: int) -> dict:
  return {'qID': f'w{n}', 'sentence': f'The box {n} did not fit in the bag because _ was too big.', 'option1': 'the box', 'option2': 'the bag', 'answer': str(1 + n % 2)}


def trivia(n: int) -> dict:
  answer = {'Value': f'Grey {n}', 'Aliases': [f'Grey {n}', f'The Grey ({n})'], 'NormalizedAliases': [f'grey {n}', f'grey {n}'], 'NormalizedValue': f'grey {n}', 'Type': 'FreeForm'}
  return {'Question': f'What colour is box {n}?', 'QuestionId': f'tc_{n}', 'QuestionSource': 'x', 'Answer': answer, 'SearchResults': []}


def quac_dialogue(n: int) -> dict:
  texts = [f'box {n} is grey', 'CANNOTANSWER']
  asked = [
    {
      'id': f'd{n}_q#{at}', 'question': f'question {at} of {n}?', 'followup': 'y', 'yesno': 'x', 'orig_answer': {'text': text, 'answer_start': 0},
      'answers': [{'text': text, 'answer_start': 0}, {'text': text, 'answer_start': 0}],
    }
    for at, text in enumerate(texts)
  ]  # fmt: skip
  context = f'One box: box {n} is grey. CANNOTANSWER'
  return {'title': f'Box {n}', 'section_title': 'Colour', 'background': 'Boxes.', 'paragraphs': [{'context': context, 'id': f'd{n}', 'qas': asked}]}


def quac_of_hub(n: int) -> dict:
  dialogue = quac_dialogue(n)
  [paragraph] = dialogue['paragraphs']
  asked = paragraph['qas']
  of = lambda key: [turn[key] for turn in asked]
  return {
    'dialogue_id': paragraph['id'], 'wikipedia_page_title': dialogue['title'], 'section_title': dialogue['section_title'], 'background': 'Boxes.',
    'context': paragraph['context'], 'turn_ids': of('id'), 'questions': of('question'),
    'answers': {'texts': [[a['text'] for a in turn['answers']] for turn in asked], 'answer_starts': [[0, 0]] * len(asked)},
    'orig_answers': {'texts': [turn['orig_answer']['text'] for turn in asked], 'answer_starts': [0] * len(asked)},
  }  # fmt: skip


def truthful(n: int) -> list[str]:
  return ['Adversarial', 'Boxes', f'Is box {n} red?', f'No, box {n} is grey', f'No, box {n} is grey; It is not red.', f'Yes, box {n} is red; It is; Maybe', 'http://x']


TRUTHFUL = ['Type', 'Category', 'Question', 'Best Answer', 'Correct Answers', 'Incorrect Answers', 'Source']
WIKITEXT = ' \n = Box = \n \n A box is grey . \n \n = = Colour = = \n \n It is grey . \n \n = Bag = \n \n A bag is red . \n'

Write = Callable[[Path], None]
TEN = range(10)


def at(name: str, write: Callable[[Path], None]) -> Write:
  def write_below(folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)

  return write_below


def text_at(name: str, text: str) -> Write:
  return at(name, lambda path: path.write_text(text))


def parquet_at(name: str, rows: list[dict]) -> Write:
  return at(name, lambda path: pq.write_table(pa.Table.from_pylist(rows), path))


def _mmlu(folder: Path) -> None:
  for split, subjects in (('test', 'ab'), ('dev', 'ab')):
    for subject in subjects:
      rows = [[f'Question {n} of {subject}, "quoted"?', *COLOURS, 'ABCD'[n % 4]] for n in range(5)]
      at(f'mmlu/{split}/{subject}_{split}.csv', lambda path, rows=rows: table(path, rows))(folder)


# (task, which form, items, what writes it)
FORMS: list[tuple[str, str, int, Write]] = [
  ('boolq', 'released', 10, text_at('boolq/dev.jsonl', lines([boolq(n) for n in TEN]))),
  ('boolq', 'SuperGLUE', 10, text_at('boolq/val.jsonl', lines([{'question': boolq(n)['question'], 'passage': 'p', 'idx': n, 'label': n % 2 > 0} for n in TEN]))),
  ('piqa', 'hub', 10, text_at('piqa/valid.jsonl', lines([{'goal': f'g{n}', 'sol1': 'a', 'sol2': 'b', 'label': n % 2} for n in TEN]))),
  ('sciq', 'released', 10, text_at('sciq/test.json', json.dumps([sciq(n) for n in TEN]))),
  ('sciq', 'hub', 10, text_at('sciq/test.jsonl', lines([sciq(n) for n in TEN]))),
  ('social_iqa', 'hub', 10, text_at('socialiqa/dev.jsonl', lines([{'context': f'c{n}', 'question': 'Why?', 'answerA': 'a', 'answerB': 'b', 'answerC': 'c', 'label': str(1 + n % 3)} for n in TEN]))),
  ('cb', 'released', 10, text_at('CB/val.jsonl', lines([cb(n) for n in TEN]))),
  ('cb', 'hub', 10, text_at('cb/val.jsonl', lines([{**cb(n), 'label': n % 3} for n in TEN]))),
  ('copa', 'released', 10, text_at('COPA/val.jsonl', lines([copa(n) for n in TEN]))),
  ('story_cloze', '2018', 10, at('storycloze/cloze_test_val__winter2018.csv', lambda path: table(path, [STORY, *map(story, TEN)]))),
  ('story_cloze', '2016', 10, at('storycloze/cloze_test_test__spring2016.csv', lambda path: table(path, [STORY, *map(story, TEN)]))),
  ('hellaswag', 'released', 10, text_at('hellaswag/hellaswag_val.jsonl', lines([hellaswag(n) for n in TEN]))),
  ('hellaswag', 'hub', 10, text_at('hellaswag/hellaswag_val.jsonl', lines([{**hellaswag(n), 'label': str(n % 4)} for n in TEN]))),
  ('winogrande', 'released', 10, text_at('winogrande/dev.jsonl', lines([winogrande(n) for n in TEN]))),
  ('arc_easy', 'released', 10, text_at('arc/ARC-Easy/ARC-Easy-Test.jsonl', lines([lettered(n, '1234') for n in TEN]))),
  ('arc_challenge', 'hub', 10, text_at('arc/ARC-Challenge-Test.jsonl', lines([lettered_of_hub(n) for n in TEN]))),
  ('openbookqa', 'hub', 10, text_at('openbookqa/test.jsonl', lines([{**{k: v for k, v in lettered_of_hub(n).items() if k != 'question'}, 'question_stem': f's{n}'} for n in TEN]))),
  ('qasc', 'hub', 10, text_at('qasc/dev.jsonl', lines([lettered_of_hub(n) for n in TEN]))),
  ('commonsense_qa', 'released', 10, text_at('commonsenseqa/dev_rand_split.jsonl', lines([lettered(n) for n in TEN]))),
  ('commonsense_qa', 'hub', 10, parquet_at('commonsenseqa/validation.parquet', [lettered_of_hub(n) for n in TEN])),
  ('truthfulqa_mc1', 'released', 10, at('truthfulqa/TruthfulQA.csv', lambda path: table(path, [TRUTHFUL, *map(truthful, TEN)]))),
  ('truthfulqa_mc2', 'released', 10, at('truthfulqa/TruthfulQA.csv', lambda path: table(path, [TRUTHFUL, *map(truthful, TEN)]))),
  ('truthfulqa_mc1', 'hub', 3, parquet_at('truthfulqa/multiple_choice.parquet', [{'question': f'q{n}', 'mc1_targets': {'choices': ['a', 'b'], 'labels': [1, 0]}, 'mc2_targets': {'choices': ['a', 'b', 'c'], 'labels': [1, 1, 0]}} for n in range(3)])),
  ('mmlu', 'released', 10, _mmlu),
  ('mmlu', 'hub', 10, parquet_at('mmlu/test.parquet', [{'question': f'q{n}', 'subject': 's', 'choices': list(COLOURS), 'answer': n % 4} for n in TEN])),
  ('triviaqa', 'released', 10, text_at('triviaqa/unfiltered-web-dev.json', json.dumps({'Data': [trivia(n) for n in TEN], 'Domain': 'Web'}))),
  ('triviaqa', 'hub', 3, parquet_at('triviaqa/validation.parquet', [{'question': f'q{n}', 'question_id': f't{n}', 'answer': {'value': f'a {n}', 'aliases': [f'a {n}'], 'normalized_aliases': [f'{n}']}} for n in range(3)])),
  ('nq_open', 'released', 10, text_at('nq_open/NQ-open.dev.jsonl', lines([{'question': f'who is {n}', 'answer': [f'No {n}', 'x']} for n in TEN]))),
  ('quac', 'released', 20, text_at('quac/val_v0.2.json', json.dumps({'data': [quac_dialogue(n) for n in TEN]}))),
  ('quac', 'hub', 6, parquet_at('quac/validation.parquet', [quac_of_hub(n) for n in range(3)])),
  ('gsm8k', 'released', 10, text_at('gsm8k/test.jsonl', lines([{'question': f'What is 1,000 + {n}?', 'answer': f'1000 + {n} = <<1000+{n}={1000 + n}>>\n#### 1,00{n}'} for n in TEN]))),
  ('cogs', 'released', 4, text_at('cogs/gen.tsv', ''.join(f'A box {n} .\tbox ( x _ {n} )\t{kind}\n' for n, kind in enumerate(('obj_pp_to_subj_pp', 'subj_to_obj_common', 'pp_recursion', 'active_to_passive'))))),
  ('lambada', 'hub', 10, text_at('lambada/lambada_test.jsonl', lines([{'text': f'A box, number {n}, is grey'} for n in TEN]))),
  ('wikitext', 'raw', 2, text_at('wikitext/wiki.test.raw', WIKITEXT)),
  ('wikitext', 'pages', 2, text_at('wikitext/test.jsonl', lines([{'page': ' = Box = \n \n grey . \n'}, {'page': ' = Bag = \n \n red . \n'}]))),
  ('wikitext', 'hub', 2, text_at('wikitext/test.jsonl', lines([{'text': line if line.strip() else ''} for line in WIKITEXT.splitlines(keepends=True)]))),
  ('dolly', 'hub', 10, text_at('dolly/databricks-dolly-15k.jsonl', lines([{'instruction': f'Say {n}.', 'context': '', 'response': f'{n}', 'category': 'open_qa'} for n in TEN]))),
  ('dolly', 'Aya', 10, text_at('dolly/dolly_english.jsonl', lines([{'inputs': f'Say {n}.', 'targets': f'{n}', 'language': 'eng', 'script': 'Latn', 'source_id': n} for n in TEN]))),
]  # fmt: skip
