"""Multiple choice: the paper's reasoning tasks, and others of the kind. A function for the form of each set.

Forms take a row of the released file, and of the Hugging Face hub's and of TFDS's where they differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from codemix.data.evaluation_sets.folder import Wanted, tfds
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource, Row
from codemix.evaluation.tasks.multiple_choice import PER_BYTE, RAW, MultipleChoice

ANSWER = 'Answer:'


def question(text: str, choices: Sequence[str], gold: int, before: str = '') -> Item:
  """The usual form: 'Question: ...' and 'Answer:', with the choices' texts as continuations."""
  prompt = f'{before}Question: {text.strip()}\n{ANSWER}'
  return Item('', prompt, tuple(f' {choice.strip()}' for choice in choices), (gold,), unconditional=ANSWER)


def boolq(row: Row) -> Item:
  answer = row['answer'] if 'answer' in row else row['label']
  if answer not in (True, False, 0, 1, 'true', 'false'):
    raise ValueError(f'the answer {answer!r} is neither true nor false')
  asked = row['question'].strip().removesuffix('?')
  return question(f'{asked}?', ('no', 'yes'), int(answer in (True, 1, 'true')), f'{row["passage"].strip()}\n')


def piqa(row: Row) -> Item:
  return question(row['goal'], (row['sol1'], row['sol2']), int(row['label']))


def sciq(row: Row) -> Item:
  # The file gives the right answer a place of its own; in the order of the alphabet it has none.
  choices = sorted(row[field] for field in ('correct_answer', 'distractor1', 'distractor2', 'distractor3'))
  support = row['support'].strip()
  return question(row['question'], choices, choices.index(row['correct_answer']), f'{support}\n' if support else '')


def social_iqa(row: Row) -> Item:
  choices = (row['answerA'], row['answerB'], row['answerC'])
  return question(f'{row["context"].strip()} {row["question"]}', choices, int(row['label']) - 1)


def commitment_bank(row: Row) -> Item:
  labels = ('entailment', 'contradiction', 'neutral')  # in the order of the hub's numbers
  gold = labels.index(row['label']) if isinstance(row['label'], str) else int(row['label'])
  hypothesis = row['hypothesis'].strip().removesuffix('.')
  return question(f'{hypothesis}. True, false or neither?', ('true', 'false', 'neither'), gold, f'{row["premise"].strip()}\n')


def copa(row: Row) -> Item:
  joined = {'cause': 'because', 'effect': 'so'}[row['question']]
  prompt = f'{row["premise"].strip().removesuffix(".")} {joined}'
  choices = tuple(f' {text[0].lower()}{text[1:]}' for text in (row['choice1'].strip(), row['choice2'].strip()))
  return Item('', prompt, choices, (int(row['label']),), unconditional=joined)


def story_cloze(row: Row) -> Item:
  if 'context' in row:  # TFDS's
    story, choices, gold = [row['context']], row['endings'], row['label']
  elif 'InputSentence1' in row:
    story = [row[f'InputSentence{number}'] for number in range(1, 5)]
    choices, gold = [row[f'RandomFifthSentenceQuiz{number}'] for number in (1, 2)], row['AnswerRightEnding']
  else:
    story = [row[f'input_sentence_{number}'] for number in range(1, 5)]
    choices, gold = [row[f'sentence_quiz{number}'] for number in (1, 2)], row['answer_right_ending']
  prompt = ' '.join(sentence.strip() for sentence in story)
  return Item('', prompt, tuple(f' {choice.strip()}' for choice in choices), (int(gold) - 1,))


def hellaswag(row: Row) -> Item:
  if row.get('ctx_a') is not None and row.get('ctx_b') is not None:
    context = f'{row["ctx_a"]} {row["ctx_b"].capitalize()}'
  else:
    context = row['ctx']
  prompt = _without_tags(f'{row["activity_label"]}: {context}')
  return Item('', prompt, tuple(f' {_without_tags(ending)}' for ending in row['endings']), (int(row['label']),))


def _without_tags(text: str) -> str:
  """WikiHow's texts have marks such as [header] and [step] in them."""
  text = re.sub(r'\[.*?\]', '', text.strip().replace(' [title]', '. '))
  return text.replace('  ', ' ').strip()


def winogrande(row: Row) -> Item:
  """Partial scoring (Trinh and Le, arXiv:1806.02847): the rest of the sentence after each option."""
  before, blank, after = row['sentence'].partition('_')
  if not blank:
    raise ValueError("the sentence has no '_'")
  prompts = tuple(before + row[option] for option in ('option1', 'option2'))
  gold = int(row['answer']) - 1 if 'answer' in row else int(row['label'])  # TFDS's numbers begin at 0
  return Item('', prompts[0], (f' {after.strip()}',) * 2, (gold,), prompts=prompts)


def lettered(row: Row) -> Item:
  """AI2's form: a stem, choices with labels, and the key of the right one."""
  nested = row['question'] if isinstance(row['question'], dict) else row
  choices = nested['choices'] if 'choices' in nested else [{'text': nested[f'choice_{label}'], 'label': at} for at, label in enumerate('ABCD')]
  if isinstance(choices, dict):  # the hub's
    texts, labels = list(choices['text']), list(choices['label'])
  else:
    texts, labels = [choice['text'] for choice in choices], [choice['label'] for choice in choices]
  stem = nested['stem'] if 'stem' in nested else row['question']
  return question(stem, texts, labels.index(row['answerKey']))


def openbookqa(row: Row) -> Item:
  return lettered({**row, 'question': row['question_stem']} if 'question_stem' in row else row)


def truthfulqa_single(row: Row) -> Item:
  """MC1: the best answer against the false ones."""
  if 'mc1_targets' in row:
    targets = row['mc1_targets']
    return _truthfulqa(row['question'], list(targets['choices']), [at for at, label in enumerate(targets['labels']) if label])
  best, wrong = _sentences(row['Best Answer'])[:1], _sentences(row['Incorrect Answers'])
  return _truthfulqa(row['Question'], [*best, *wrong], [0])


def truthfulqa_multiple(row: Row) -> Item:
  """MC2: all true answers against the false ones; its score is the probability of the true ones together."""
  if 'mc2_targets' in row:
    targets = row['mc2_targets']
    return _truthfulqa(row['question'], list(targets['choices']), [at for at, label in enumerate(targets['labels']) if label])
  right, wrong = _sentences(row['Correct Answers']), _sentences(row['Incorrect Answers'])
  return _truthfulqa(row['Question'], [*right, *wrong], list(range(len(right))))


def _truthfulqa(asked: str, choices: Sequence[str], gold: Sequence[int]) -> Item:
  # Upstream lists the true answers first; in the order of the alphabet the place says nothing.
  order = sorted(range(len(choices)), key=lambda at: choices[at])
  texts, numbers = tuple(f' {choices[at]}' for at in order), tuple(place for place, at in enumerate(order) if at in gold)
  return Item('', f'Q: {asked.strip()}\nA:', texts, numbers, unconditional='A:')


def _sentences(answers: str) -> list[str]:
  """The answers of a cell, divided by semicolons, each with a full stop."""
  parts = [part.strip() for part in answers.split(';')]
  return [part if part.endswith('.') else f'{part}.' for part in parts if part]


def mmlu(row: Row) -> Item:
  if 'choices' in row:
    return question(row['question'], list(row['choices']), int(row['answer']))
  return question(row['0'], [row[column] for column in '1234'], 'ABCD'.index(row['5'].strip()))


def subject(place: str, row: Row) -> str:
  """MMLU's subject of a row: the hub's column, or upstream's file name, 'anatomy_test.csv'."""
  file = re.search(r'([^/]+)_(?:dev|test|val)\.csv', place)
  return str(row['subject']) if row.get('subject') else file[1] if file else ''


_UNZIPPED = 'ARC-V1-Feb2018-*'


def _ai2(name: str, file: str, published: int, examples: str, metric: str = PER_BYTE) -> MultipleChoice:
  at = 'the AI2 Reasoning Challenge (ARC-V1-Feb2018), allenai/ai2_arc on the Hugging Face hub'
  source = lambda names, count: ItemSource(Wanted(names, at), lettered, 'id', published=count)
  folder = file.partition('-Test')[0]
  return MultipleChoice(
    name, source((f'arc/{file}', f'arc/{folder}/{file}', f'arc/{_UNZIPPED}/{folder}/{file}', f'arc/{folder}/test*.parquet', tfds(f'ai2_arc/{folder}', 'test')), published), metric, source((f'arc/{examples}', f'arc/{folder}/{examples}', f'arc/{_UNZIPPED}/{folder}/{examples}', f'arc/{folder}/validation*.parquet', tfds(f'ai2_arc/{folder}', 'validation')), None)
  )


_HUB = 'on the Hugging Face hub'
_SUPERGLUE = f'SuperGLUE, aps/super_glue {_HUB}'

# Raw likelihood where choices have about one length or are one word or the same; per byte where they are phrases of
# different length, which the raw score would choose by length. So do lm-evaluation-harness and OLMES.
TASKS = (
  MultipleChoice('boolq', ItemSource(Wanted(('boolq/dev.jsonl', 'boolq/val.jsonl', 'boolq/validation*.parquet', tfds('bool_q', 'validation')), f'google-research-datasets/boolean-questions, google/boolq {_HUB}'), boolq, 'idx', published=3270), RAW,
    ItemSource(Wanted(('boolq/train.jsonl', tfds('bool_q', 'train')), 'google-research-datasets/boolean-questions'), boolq)),
  MultipleChoice('piqa', ItemSource(Wanted(('piqa/valid.jsonl', 'piqa/dev.jsonl', 'piqa/validation*.parquet', tfds('piqa', 'validation')), f'ybisk/piqa {_HUB}'), piqa, 'id', Wanted(('piqa/valid-labels.lst', 'piqa/dev-labels.lst'), f'ybisk/piqa {_HUB}'), 1838), PER_BYTE,
    ItemSource(Wanted(('piqa/train.jsonl', tfds('piqa', 'train')), f'ybisk/piqa {_HUB}'), piqa, 'id', Wanted(('piqa/train-labels.lst',), f'ybisk/piqa {_HUB}'))),
  MultipleChoice('sciq', ItemSource(Wanted(('sciq/test.json', 'sciq/test.jsonl', 'sciq/test*.parquet'), f'allenai/sciq {_HUB}'), sciq, published=1000), RAW,
    ItemSource(Wanted(('sciq/train.json', 'sciq/train.jsonl'), f'allenai/sciq {_HUB}'), sciq)),
  MultipleChoice('social_iqa', ItemSource(Wanted(('socialiqa/dev.jsonl', 'social_iqa/dev.jsonl', 'social_iqa/validation*.parquet'), f'allenai/social_i_qa {_HUB}'), social_iqa, '', Wanted(('socialiqa/dev-labels.lst', 'social_iqa/dev-labels.lst'), f'allenai/social_i_qa {_HUB}'), 1954), PER_BYTE,
    ItemSource(Wanted(('socialiqa/train.jsonl',), f'allenai/social_i_qa {_HUB}'), social_iqa, '', Wanted(('socialiqa/train-labels.lst',), f'allenai/social_i_qa {_HUB}'))),
  MultipleChoice('cb', ItemSource(Wanted(('cb/val.jsonl', 'CB/val.jsonl', 'cb/validation*.parquet', tfds('super_glue/cb', 'validation')), _SUPERGLUE), commitment_bank, 'idx', published=56), RAW,
    ItemSource(Wanted(('cb/train.jsonl', 'CB/train.jsonl', tfds('super_glue/cb', 'train')), _SUPERGLUE), commitment_bank, 'idx')),
  MultipleChoice('copa', ItemSource(Wanted(('copa/val.jsonl', 'COPA/val.jsonl', 'copa/validation*.parquet', tfds('super_glue/copa', 'validation')), _SUPERGLUE), copa, 'idx', published=100), RAW,
    ItemSource(Wanted(('copa/train.jsonl', 'COPA/train.jsonl', tfds('super_glue/copa', 'train')), _SUPERGLUE), copa, 'idx')),
  MultipleChoice('story_cloze', ItemSource(Wanted(('storycloze/cloze_test_val__winter2018*.csv', 'storycloze/cloze_test_test__spring2016*.csv', 'storycloze/cloze_test_val__spring2016*.csv', tfds('story_cloze/2018', 'validation'), tfds('story_cloze/2016', 'test')), 'the ROCStories site (by request), LSDSem/story_cloze on the Hugging Face hub'), story_cloze, 'InputStoryid'), RAW),
  MultipleChoice('hellaswag', ItemSource(Wanted(('hellaswag/hellaswag_val.jsonl', 'hellaswag/hellaswag_val_subset1000.jsonl', 'hellaswag/validation*.parquet'), f'rowanz/hellaswag, Rowan/hellaswag {_HUB}'), hellaswag, 'ind', published=10042), PER_BYTE,
    ItemSource(Wanted(('hellaswag/hellaswag_train.jsonl',), f'rowanz/hellaswag, Rowan/hellaswag {_HUB}'), hellaswag, 'ind')),
  MultipleChoice('winogrande', ItemSource(Wanted(('winogrande/dev.jsonl', 'winogrande/validation*.parquet', tfds('winogrande', 'validation')), f'allenai/winogrande {_HUB}'), winogrande, 'qID', published=1267), RAW,
    ItemSource(Wanted(('winogrande/train_xl.jsonl', tfds('winogrande', 'train_xl')), f'allenai/winogrande {_HUB}'), winogrande, 'qID')),
  _ai2('arc_easy', 'ARC-Easy-Test.jsonl', 2376, 'ARC-Easy-Dev.jsonl'),
  _ai2('arc_challenge', 'ARC-Challenge-Test.jsonl', 1172, 'ARC-Challenge-Dev.jsonl'),
  MultipleChoice('openbookqa', ItemSource(Wanted(('openbookqa/test.jsonl', 'openbookqa/OpenBookQA-V1-Sep2018/Data/Main/test.jsonl', 'openbookqa/test*.parquet', tfds('openbookqa', 'test')), f'allenai/openbookqa {_HUB}'), openbookqa, 'id', published=500), PER_BYTE,
    ItemSource(Wanted(('openbookqa/train.jsonl', 'openbookqa/OpenBookQA-V1-Sep2018/Data/Main/train.jsonl', 'openbookqa/dev.jsonl', tfds('openbookqa', 'train')), f'allenai/openbookqa {_HUB}'), openbookqa, 'id')),
  MultipleChoice('qasc', ItemSource(Wanted(('qasc/dev.jsonl', 'qasc/QASC_Dataset/dev.jsonl', 'qasc/validation*.parquet', tfds('qasc', 'validation')), f'allenai/qasc {_HUB}'), lettered, 'id', published=926), PER_BYTE,
    ItemSource(Wanted(('qasc/train.jsonl', 'qasc/QASC_Dataset/train.jsonl', tfds('qasc', 'train')), f'allenai/qasc {_HUB}'), lettered, 'id')),
  MultipleChoice('commonsense_qa', ItemSource(Wanted(('commonsenseqa/dev_rand_split.jsonl', 'commonsense_qa/dev_rand_split.jsonl', 'commonsenseqa/validation*.parquet'), f'tau/commonsense_qa {_HUB}'), lettered, 'id', published=1221), PER_BYTE,
    ItemSource(Wanted(('commonsenseqa/train_rand_split.jsonl', 'commonsense_qa/train_rand_split.jsonl'), f'tau/commonsense_qa {_HUB}'), lettered, 'id')),
  MultipleChoice('truthfulqa_mc1', ItemSource(Wanted(('truthfulqa/TruthfulQA.csv', 'truthfulqa/multiple_choice.parquet'), f'sylinrl/TruthfulQA, truthfulqa/truthful_qa {_HUB}'), truthfulqa_single, published=817), RAW),
  MultipleChoice('truthfulqa_mc2', ItemSource(Wanted(('truthfulqa/TruthfulQA.csv', 'truthfulqa/multiple_choice.parquet'), f'sylinrl/TruthfulQA, truthfulqa/truthful_qa {_HUB}'), truthfulqa_multiple, published=817), 'gold_probability'),
  MultipleChoice('mmlu', ItemSource(Wanted(('mmlu/test/*_test.csv', 'mmlu/data/test/*_test.csv', 'mmlu/test.jsonl', 'mmlu/test*.parquet', 'mmlu/*/test*.parquet'), f'hendrycks/test, cais/mmlu {_HUB}', csv_head=False), mmlu, published=14042, topic=subject), PER_BYTE,
    ItemSource(Wanted(('mmlu/dev/*_dev.csv', 'mmlu/data/dev/*_dev.csv', 'mmlu/dev.jsonl', 'mmlu/dev*.parquet', 'mmlu/*/dev*.parquet'), f'hendrycks/test, cais/mmlu {_HUB}', csv_head=False), mmlu, topic=subject)),
)  # fmt: skip
