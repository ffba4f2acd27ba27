"""Every field of everything that may be configured is checked when it is built."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import codemix.configurables  # noqa: F401 (registers what may be bound)
import gin
from codemix.checked import (
  Above,
  Below,
  From,
  Name,
  NotEmpty,
  Path,
  Share,
  UpTo,
  Usually,
  checked,
  containers,
  kinds,
  kinds_of,
)
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.errors import UserError
from codemix.models.config import ModelConfig
from codemix.studies.recipe import Recipe
from codemix.training.stage import Stage

MODEL = ModelConfig(vocab_size=8, layers=1, width=4, ffn_width=4, heads=1, head_dim=2)
STAGE = Stage('first', 64, {'text': 1}, 2)
RECIPE = Recipe((STAGE,), MODEL, 8)
CORPUS = Corpus({'train': '{language}/*.jsonl'})

# What each takes at the least.
NEEDED: Mapping[str, Mapping[str, object]] = {
  'Claim': {'arm': 'a', 'metric': 'text', 'expected': 'lower'},
  'Components': {'seed': 1.0, 'items': 100},
  'Corpus': {'files': {'train': '*.jsonl'}},
  'Template': {'template': '{question}'},
  'Instruction': {'prompt': '{question}', 'answer': '{answer}'},
  'Languages': {'keep': ('python',)},
  'Extensions': {'keep': ('.py',)},
  'Sets': {'keep': ('a',)},
  'variants': {'corpus': CORPUS, 'kinds': {'code': ()}},
  'corpora_by_language': {'corpus': CORPUS, 'table': 'markup'},
  'MixtureSchedule': {'knots': ((0, {'text': 1}),)},
  'additive_tokens': {'language_tokens': 10, 'share': 0.5},
  'by_documents': {'weights': {'text': 1}},
  'competitive': {'language': 'text', 'code': 'code', 'share': 0.5},
  'in_ratio': {'weights': {'text': 1}},
  'language_shares': {'table': 'code'},
  'seqio_mixture': {'name': 'mixed', 'rates': 'tokens'},
  'swap': {'mixture': {'text': 1}, 'replacement': {'code': 0.5}},
  'uniform': {'sources': ('text',)},
  'EvaluationSet': {'name': 'gsm8k', 'files': 'test.jsonl'},
  'ItemLayout': {'question': ('question',)},
  'Tsv': {'columns': ('text', 'meaning')},
  'Evaluation': {'tasks': ('piqa',)},
  'Judge': {'model': 'judge'},
  'answer_task': {'name': 'own', 'files': 'own.jsonl', 'prompt': '{question}', 'answer': '{answer}'},
  'choice_task': {'name': 'own', 'files': 'own.jsonl', 'prompt': '{question}', 'choices': 'options', 'gold': '{answer}'},
  'text_task': {'name': 'own', 'files': 'own.txt'},
  'WarmupCosine': {'peak': 1e-3},
  'WarmupInverseSqrt': {'peak': 1e-3, 'warmup_steps': 1},
  'WarmupStableDecay': {'peak': 1e-3},
  'Stage': {'name': 'first', 'tokens': 64, 'mixture': {'text': 1}, 'batch': 2},
  'ModelConfig': dataclasses.asdict(MODEL),
  'Recipe': {'stages': (STAGE,), 'model': MODEL, 'length': 8},
  'Study': {'name': 'study', 'recipes': {'a': RECIPE}},
  'grid': {'recipe': lambda: RECIPE, 'vary': {'size': {'1M': {}}}},
  'sweep': {'recipe': RECIPE, 'language': 'text', 'code': 'code', 'shares': (0.5,)},
}

CONFIGURABLES = {
  selector.removeprefix('codemix.'): entry.wrapped
  for selector, entry in gin.config._REGISTRY.items()
  if selector.startswith('codemix.')
}


def fields() -> Iterator[tuple[str, str]]:
  for name, configurable in CONFIGURABLES.items():
    for field in inspect.signature(configurable).parameters:
      yield name, field


def wrong(kind: kinds.Kind) -> list[object]:
  """Values that are none of the kind: other types, and numbers out of range."""
  others = [object(), 3j, b'bytes', type]
  match kind:
    case kinds.Number():
      numbers = [math.nan, math.inf, -math.inf, 10**400, True, '1', 'text', None, [1]]
      numbers += [0.5, np.float32(0.5)] if kind.whole else []
      for bound in kind.bounds:
        match bound:
          case From(least):
            numbers += [least - 1]
          case Above(limit) | Below(limit):
            numbers += [limit]
          case UpTo(most):
            numbers += [most + 1]
      return others + numbers
    case kinds.Flag():
      return [*others, 0, 1, 'True', None]
    case kinds.Text():
      return [*others, 1, None, ['a'], *(['', ' '] if kind.some else [])]
    case kinds.Choice():
      return [*others, 'nothing of the kind', None, 17, True]
    case kinds.Nothing():
      return [*others, False, 0, '']
    case kinds.Instance():
      return [*others, 1, 'text', '@Name()', None, {}, [], kind.cls]
    case containers.Items():
      inner = [] if isinstance(kind.each, tuple) else [[value] for value in wrong(kind.each)]
      return [*others, 1, 'text', None, {}, *([()] if kind.some else []), *inner]
    case containers.Table():
      inner = [{'name': value} for value in wrong(kind.value)]
      return [*others, 1, None, 'text', [('name', 1)], {1: 1}, *([{}] if kind.some else []), *inner]
    case kinds.Read():
      return [*others, math.nan, math.inf, -1, True, 'text', None]
    case kinds.Anything():
      return []
    case containers.Either():
      return [value for each in kind.kinds for value in wrong(each) if not any(right(k, value) for k in kind.kinds)]
  raise AssertionError(f'{kind} has no wrong values here')


def right(kind: kinds.Kind, value: object) -> bool:
  """Whether a value that is wrong for one kind of a union is right for another of it."""
  try:
    kind.read(value, 'it')
  except UserError:
    return False
  return True


def test_every_configurable_is_checked():
  assert not [name for name, configurable in CONFIGURABLES.items() if not getattr(configurable, '__checked__', False)]


@pytest.mark.parametrize(('name', 'field'), list(fields()))
def test_every_field_refuses_what_it_is_not_and_names_itself(name, field):
  configurable = CONFIGURABLES[name]
  needed = NEEDED.get(name, {})
  configurable(**needed)  # which is right as it is
  kind = kinds_of(configurable)[field]
  assert not isinstance(kind, kinds.Anything), f'{name}.{field} may be anything'
  values = wrong(kind)
  assert len(values) > 3
  for value in values:
    with pytest.raises(UserError) as refused:
      configurable(**{**needed, field: value})
    told = str(refused.value)
    assert f'{name}.{field}' in told and '\n' not in told, (value, told)


@checked
def probe(
  share: Share = 0.5,
  rows: Annotated[int, From(1), 'rows'] = 1,
  names: tuple[Name, ...] = (),
  way: Literal['linear', 'step'] | None = None,
  table: Annotated[Mapping[Name, float], Usually('train')] | None = None,
  parts: Annotated[Sequence[Annotated[float, Above(0)]], NotEmpty()] = (1,),
  place: Path = '',
  reader: JsonLines | None = None,
):
  return share, rows, names, way, table, parts, place, reader


@pytest.mark.parametrize(
  ('field', 'value', 'said'),
  [
    ('share', 1.5, 'probe.share is 1.5; it is a number from 0 to 1.'),
    ('share', '0.5', "probe.share is '0.5'; it is a number from 0 to 1. Write 0.5 without quotes."),
    ('share', np.float64(1.5), 'probe.share is 1.5; it is a number from 0 to 1.'),
    ('rows', 0, 'probe.rows is 0; it is a whole number of rows, at least 1.'),
    ('rows', True, 'probe.rows is True; it is a whole number of rows, at least 1.'),
    ('rows', 2.5, 'probe.rows is 2.5; it is a whole number of rows, at least 1.'),
    ('names', 'wiki', "probe.names is 'wiki'; it is a list of names. Write ('wiki',), with the comma, for a list of one."),
    ('names', ('a', 1), 'probe.names[1] is 1; it is a name.'),
    ('way', 'liner', "probe.way is 'liner'; it is one of linear, step, or None. Did you mean 'linear'?"),
    ('table', 0.5, "probe.table is 0.5; it is a dictionary of numbers, or None. Write {'train': 0.5}."),
    ('table', {'a': 'b'}, "probe.table['a'] is 'b'; it is a number."),
    ('parts', (1, 0), 'probe.parts[1] is 0; it is a number above 0.'),
    ('parts', (), 'probe.parts is (); it is a list of numbers above 0, at least one.'),
    ('reader', JsonLines, 'probe.reader is the class JsonLines; it is a JsonLines, or None. In gin write @JsonLines() with the brackets, in Python JsonLines().'),
    ('reader', '@JsonLines()', "probe.reader is '@JsonLines()'; it is a JsonLines, or None. In gin write @JsonLines() without quotes."),
  ],
)
def test_a_message_says_what_is_wrong_what_is_right_and_what_to_write(field, value, said):
  with pytest.raises(UserError) as refused:
    probe(**{field: value})
  assert str(refused.value) == said


def test_a_value_has_one_form():
  given = probe(1, 8.0, ['a'], None, {'a': np.float32(0.5)}, np.ones(2))
  share, rows, names, _, table, parts, _, _ = given
  assert (share, rows, names, table, parts) == (1.0, 8, ('a',), {'a': 0.5}, (1.0, 1.0))
  assert [type(v) for v in (share, rows, table['a'], parts[0])] == [float, int, float, float]


def test_a_path_may_be_of_pathlib_and_begin_with_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert probe(place=tmp_path / 'a')[6] == str(tmp_path / 'a')
  assert probe(place='~/a')[6] == str(tmp_path / 'a')


@given(st.one_of(st.integers(), st.floats(), st.fractions(), st.booleans(), st.text(), st.none(), st.lists(st.integers())))
def test_a_whole_number_is_what_it_was_or_is_refused(value):
  try:
    rows = probe(rows=value)[1]
  except UserError as refused:
    assert str(refused).startswith('probe.rows is ') and '\n' not in str(refused)
    assert isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not value >= 1 or value != value // 1 or value == math.inf or value > 1e308
  else:
    assert type(rows) is int and rows == value and rows >= 1


def test_a_longer_value_is_shortened():
  with pytest.raises(UserError) as refused:
    probe(rows='x' * 10_000)
  assert len(str(refused.value)) < 200


def test_an_empty_list_is_not_told_to_be_put_into_a_list():
  with pytest.raises(UserError) as refused:
    MixtureSchedule(knots=())
  assert str(refused.value).endswith('at least one.')
