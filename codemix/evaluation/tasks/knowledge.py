"""Free answers: world knowledge, mathematics, dialogue, semantic parsing. A function for the form of each set."""

from __future__ import annotations

from collections.abc import Iterator

from codemix.data.evaluation_sets.folder import Wanted, tfds
from codemix.evaluation.tasks import answers
from codemix.evaluation.tasks.free_answer import FreeAnswer
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource, Row
from codemix.models.decoding import Decoding

_LINE = Decoding(max_new_tokens=32, stop=('\n',))
_HUB = 'on the Hugging Face hub'

# COGS's kinds of structural generalisation (Kim and Linzen, arXiv:2010.05465); all others are lexical.
COGS_STRUCTURAL = frozenset({'obj_pp_to_subj_pp', 'cp_recursion', 'pp_recursion'})
_QUAC_STOP = ('\n', 'Question:')


def triviaqa(row: Row) -> Item:
  if 'Question' in row:
    asked, answer = row['Question'], row['Answer']
    accepted = [answer['Value'], *(answer.get('Aliases') or ()), *(answer.get('NormalizedAliases') or ())]
  else:
    asked, answer = row['question'], row['answer']
    accepted = [answer['value'], *(_listed(answer.get('aliases'))), *(_listed(answer.get('normalized_aliases')))]
  return _asked(asked, accepted)


def nq_open(row: Row) -> Item:
  found = row['answer']
  asked = row['question'].strip()
  return _asked(asked if asked.endswith('?') else f'{asked}?', [found] if isinstance(found, str) else _listed(found))


def _listed(found) -> list[str]:
  return [] if found is None else list(found)


def _asked(asked: str, accepted: list[str]) -> Item:
  return Item('', f'Question: {asked.strip()}\nAnswer:', answers=tuple(dict.fromkeys(accepted)), reference=f' {accepted[0].strip()}')


def quac_questions(row: Row) -> Iterator[Row]:
  """A row for each question of a dialogue, with the questions and answers before it."""
  if 'paragraphs' in row:
    for paragraph in row['paragraphs']:
      before: list[tuple[str, str]] = []
      for asked in paragraph['qas']:
        given = [answer['text'] for answer in asked['answers']]
        yield {**row, 'id': asked['id'], 'context': paragraph['context'], 'asked': asked['question'], 'given': given, 'before': tuple(before)}
        before.append((asked['question'], (asked.get('orig_answer') or {'text': given[0]})['text']))
  else:  # the hub's: a dialogue a row, with lists
    before = []
    turns = zip(row['turn_ids'], row['questions'], row['answers']['texts'], row['orig_answers']['texts'], strict=True)
    titles = {'title': row.get('wikipedia_page_title', ''), 'section_title': row.get('section_title', '')}
    for turn, asked, given, original in turns:
      yield {**row, **titles, 'id': turn, 'asked': asked, 'given': list(given), 'before': tuple(before)}
      before.append((asked, original))


def quac(row: Row) -> Item:
  passage = row['context'].replace(answers.NO_ANSWER, '').strip()
  title = ', '.join(filter(None, (row.get('title', ''), row.get('section_title', ''))))
  dialogue = ''.join(f'Question: {asked.strip()}\nAnswer: {answer.strip()}\n' for asked, answer in row['before'])
  prompt = f'{title}\n{passage}\n\n{dialogue}Question: {row["asked"].strip()}\nAnswer:'
  return Item('', prompt, answers=tuple(row['given']), reference=f' {row["given"][0].strip()}')


def gsm8k(row: Row) -> Item:
  _, marked, number = row['answer'].rpartition('####')
  if not marked or not any(character.isdigit() for character in number):
    raise ValueError("the answer has no number after '####'")
  return Item('', f'Question: {row["question"].strip()}\nAnswer:', answers=(number.strip(),), reference=f' {row["answer"].strip()}')


def cogs(row: Row) -> Item:
  sentence, meaning, kind = row['0'], row['1'], row.get('2', '')
  split = '' if kind in ('', 'in_distribution', 'primitive') else 'structural' if kind in COGS_STRUCTURAL else 'lexical'
  return Item('', f'Sentence: {sentence.strip()}\nMeaning:', answers=(meaning.strip(),), reference=f' {meaning.strip()}', fields={'kind': split})


_COGS = 'najoungkim/COGS'
_cogs = lambda name, *files: FreeAnswer(
  name, ItemSource(Wanted(files, _COGS), cogs), {'exact_match': answers.same_text}, Decoding(max_new_tokens=256, stop=('\n',)),
  ItemSource(Wanted(('cogs/train.tsv',), _COGS), cogs), kinds='kind',
)  # fmt: skip

TASKS = (
  FreeAnswer(
    'triviaqa',
    ItemSource(Wanted(('triviaqa/unfiltered-web-dev.json', 'triviaqa/triviaqa-unfiltered/unfiltered-web-dev.json', 'triviaqa/qa/wikipedia-dev.json', 'triviaqa/wikipedia-dev.json', 'triviaqa/validation*.parquet', tfds('trivia_qa/unfiltered.nocontext', 'validation')), f'the TriviaQA site, mandarjoshi/trivia_qa {_HUB}'), triviaqa, 'QuestionId'),
    {'exact_match': answers.trivia_match}, _LINE,
    ItemSource(Wanted(('triviaqa/unfiltered-web-train.json', 'triviaqa/triviaqa-unfiltered/unfiltered-web-train.json', 'triviaqa/qa/wikipedia-train.json', tfds('trivia_qa/unfiltered.nocontext', 'train')), f'the TriviaQA site, mandarjoshi/trivia_qa {_HUB}'), triviaqa, 'QuestionId'),
  ),
  FreeAnswer(
    'nq_open', ItemSource(Wanted(('nq_open/NQ-open.dev.jsonl', 'nq_open/validation*.parquet', tfds('natural_questions_open', 'validation')), f'google-research-datasets/natural-questions, google-research-datasets/nq_open {_HUB}'), nq_open, published=3610),
    {'exact_match': answers.exact_match}, _LINE,
    ItemSource(Wanted(('nq_open/NQ-open.train.jsonl', tfds('natural_questions_open', 'train')), 'google-research-datasets/natural-questions'), nq_open),
  ),
  FreeAnswer(
    'quac', ItemSource(Wanted(('quac/val_v0.2.json', 'quac/validation*.parquet'), f'the QuAC site, allenai/quac {_HUB}'), quac, 'id', published=7354, expand=quac_questions),
    {'unfiltered_f1': answers.quac_f1}, Decoding(max_new_tokens=48, stop=_QUAC_STOP),
  ),
  FreeAnswer(
    'gsm8k', ItemSource(Wanted(('gsm8k/test.jsonl', 'gsm8k/test*.parquet', 'gsm8k/main/test*.parquet', tfds('gsm8k', 'test')), f'openai/grade-school-math, openai/gsm8k {_HUB}'), gsm8k, published=1319),
    {'last_number': answers.last_number, 'strict_number': answers.strict_number}, Decoding(max_new_tokens=256, stop=('\nQuestion:', '\n\n')),
    ItemSource(Wanted(('gsm8k/train.jsonl', tfds('gsm8k', 'train')), f'openai/grade-school-math, openai/gsm8k {_HUB}'), gsm8k),
  ),
  _cogs('cogs', 'cogs/gen.tsv'),
  _cogs('cogs_dev', 'cogs/dev.tsv'),
  _cogs('cogs_test', 'cogs/test.tsv'),
)  # fmt: skip
