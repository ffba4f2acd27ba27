"""What a function reads beside its arguments is part of what it is; what cannot be known is named."""

import functools
import json
import random
import re

import numpy as np
import pytest

from codemix.data.seqio.function_identity import Described, same_task

LIMIT = 5
TABLE = {'a': [1, 2]}


def describe(step):
  return Described().function(step)


def with_closure(limit):
  def step(dataset):
    return [x for x in dataset if x < limit]

  return step


def with_default(limit):
  def step(dataset, limit=limit):
    return dataset[:limit]

  return step


def with_a_function(limit):
  inner = with_closure(limit)

  def step(dataset):
    return inner(dataset)

  return step


class Step:
  def __init__(self, limit):
    self.limit = limit

  def __call__(self, dataset):
    return dataset[: self.limit]

  def bound(self, dataset):
    return dataset[: self.limit]


def uses_globals(dataset):
  return helper(dataset), TABLE['a']


def helper(dataset):
  return dataset[:LIMIT]


def takes(dataset, value):
  return dataset, value


@pytest.mark.parametrize(
  'make',
  [
    with_closure,
    with_default,
    with_a_function,
    Step,
    lambda limit: Step(limit).bound,
    lambda limit: functools.partial(takes, value=limit),
    lambda limit: functools.partial(takes, value=[{'limit': limit}]),
    lambda limit: functools.partial(takes, value=np.arange(limit)),
    lambda limit: functools.partial(takes, value=re.compile('x' * 300 + str(limit))),
    lambda limit: functools.partial(takes, value=with_closure(limit)),
    lambda limit: functools.partial(takes, value=Step(limit)),
  ],
)
def test_a_value_that_a_function_reads_changes_what_it_is(make):
  assert describe(make(1)) == describe(make(1))
  assert describe(make(1)) != describe(make(2))


def test_global_variables_are_followed_through_the_functions_that_are_called(monkeypatch):
  before = describe(uses_globals)
  monkeypatch.setitem(globals(), 'LIMIT', 6)
  other = describe(uses_globals)
  assert other != before
  monkeypatch.setitem(TABLE, 'a', [1, 3])
  assert describe(uses_globals) not in (before, other)


def test_two_functions_of_one_line_are_two():
  one, two = lambda dataset: dataset[:1], lambda dataset: dataset[:2]
  assert describe(one) != describe(two)


def test_files_that_a_function_names_are_known_by_what_they_hold(tmp_path):
  for name in ('a.txt', 'b.txt'):
    (tmp_path / name).write_text(name)
  named = {
    'closure': functools.partial(takes, value=str(tmp_path / 'a.txt')),
    'pattern': functools.partial(takes, value=f'{tmp_path}/*.txt'),
  }

  def files(step):
    described = Described()
    described.function(step)
    return described.files

  assert len(files(named['closure'])) == 1 and len(files(named['pattern'])) == 2
  before = files(named['pattern'])
  (tmp_path / 'b.txt').write_text('edited')
  assert files(named['pattern']) != before


def test_a_value_that_cannot_be_known_is_named_and_the_same_each_time():
  described = Described()
  step = functools.partial(takes, value=random.Random(1))
  assert described.function(step) == describe(functools.partial(takes, value=random.Random(2)))
  [unknown] = described.unknown
  assert 'takes: value (random.Random)' in unknown


def test_a_function_that_calls_itself_has_an_end():
  def again(count):
    return again(count - 1)

  assert describe(again) == describe(again)


def test_a_function_that_declares_a_version_is_known_by_it_and_its_bound_values(monkeypatch):
  versioned = with_closure(1)
  versioned.version = 3
  described = describe(versioned)
  assert described == {'name': 'with_closure.<locals>.step', 'version': 3, 'reads': {'limit': '1'}}
  monkeypatch.setattr(uses_globals, 'version', 1, raising=False)
  before = describe(uses_globals)
  monkeypatch.setitem(globals(), 'LIMIT', 6)
  assert describe(uses_globals) == before == {'name': 'uses_globals', 'version': 1}


def test_a_version_declared_on_a_decorated_function_is_found():
  @functools.wraps(helper)
  def wrapper(dataset):
    return helper(dataset)

  wrapper.version = 2
  assert describe(wrapper) == {'name': 'helper', 'version': 2}


def test_a_function_of_a_library_is_its_name():
  assert describe(functools.partial(json.dumps, indent=2)) == {'name': 'json.dumps', 'arguments': {'indent': '2'}}


def test_a_task_of_an_older_codemix_is_the_same_where_names_and_arguments_are():
  then = {'preprocessors': [{'name': 'tests.x.helper', 'source': 'abc', 'arguments': {'n': '1'}}], 'source': {'files': {'a': 'b'}}}
  now = {'preprocessors': [{'name': 'helper', 'code': 'def', 'arguments': {'n': '1'}}], 'source': {'files': {'a': 'b'}}}
  assert same_task(then, now) and not same_task(now, now)
  assert not same_task(then, {**now, 'source': {'files': {'a': 'c'}}})
  assert not same_task(then, {**now, 'preprocessors': [{'name': 'helper', 'arguments': {'n': '2'}}]})
