"""What every transformation keeps: determinism, its language, and what the program or its words are."""

from __future__ import annotations

import ast
import dataclasses
import pickle
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data import transformations
from codemix.data.python_source.parses import parses, tree_of
from codemix.data.python_source.tokens import is_blank, map_names, tokens
from codemix.data.raw.record import Record
from codemix.data.transformations import (
  NormalizeIndentation,
  OnlyComments,
  RemoveComments,
  RenameIdentifiers,
  ShuffleLines,
  ShuffleTokens,
  Unsuited,
  of_program,
  transform,
)
from codemix.errors import UserError
from tests.data.python_source.programs import library_files, library_source, programs

OF_PYTHON = [
  *(ShuffleTokens(), RenameIdentifiers(), RenameIdentifiers('own'), RemoveComments(), OnlyComments()),
  *(NormalizeIndentation(), NormalizeIndentation(spaces=1)),
]
ONE_OF_EACH = [ShuffleLines(), *OF_PYTHON]
SEEDED = [ShuffleLines, ShuffleTokens, RenameIdentifiers]
seeds = st.integers(0, 2**32 - 1)
sources = st.builds(lambda lines, end: '\n'.join(lines) + end, programs(), st.sampled_from(['', '\n', '\n\n'])).filter(parses)
quick = settings(max_examples=60, deadline=None)


def of(source: str, transformation) -> str:
  """The text that a transformation gives for Python, '' where it drops the document."""
  try:
    return transform(Record(source, language='python', id='a.py'), transformation)
  except Unsuited:
    return ''


def code_tokens(source: str) -> list[str]:
  return [token.text for token in tokens(source) if not is_blank(token)]


def names(source: str) -> list[str]:
  found = []
  map_names(source, lambda name: found.append(name) or name)
  return found


def some_file(seed: int) -> str:
  return library_source(random.Random(seed).choice(library_files()))


@pytest.mark.parametrize('transformation', ONE_OF_EACH, ids=lambda each: each.name)
def test_a_transformation_is_plain_data_that_travels_to_workers(transformation):
  assert dataclasses.is_dataclass(transformation) and isinstance(transformation, transformations.Transformation)
  assert pickle.loads(pickle.dumps(transformation)) == transformation
  assert 5 < len(transformation.name) < 60 and '\n' not in transformation.name


def test_each_has_a_name_of_its_own():
  assert len({each.name for each in ONE_OF_EACH}) == len(ONE_OF_EACH)
  assert {type(each).__name__ for each in ONE_OF_EACH} <= set(transformations.__all__)


@given(sources, st.sampled_from(ONE_OF_EACH))
@quick
def test_the_text_decides_and_not_where_it_lies(source, transformation):
  one = Record(source, 'repository', 'python', 'a.py')
  other = Record(source, 'elsewhere', '', 'folder/b.PY')
  assert of(source, transformation) == of(source, dataclasses.replace(transformation))
  if of(source, transformation):
    assert transform(one, transformation) == transform(other, transformation)


@pytest.mark.parametrize('transformation', OF_PYTHON, ids=lambda each: each.name)
@pytest.mark.parametrize(
  ('record', 'said'), [(Record('x = 1;', language='Java', id='A.java'), "is in 'java'"), (Record('x = 1', id='notes'), 'has no language')]
)
def test_a_language_that_it_does_not_know_is_refused_with_what_to_change(transformation, record, said):
  with pytest.raises(UserError, match=f'{type(transformation).__name__} knows python, .*{record.id}.*{said}.*Languages'):
    transform(record, transformation)


def test_lines_are_shuffled_in_any_language():
  record = Record('int x;\nint y;\nint z;\n', language='java', id='A.java')
  assert sorted(transform(record, ShuffleLines())) == sorted(record.text)


@pytest.mark.parametrize('transformation', OF_PYTHON, ids=lambda each: each.name)
@pytest.mark.parametrize('source', ['print x', 'def f(:', 'x = "', 'a\0b', '(' * 2000, 'x = 1\n  y = 2\n'])
def test_what_does_not_parse_is_dropped_and_counted_as_that(transformation, source):
  with pytest.raises(Unsuited, match='does not parse'):
    transform(Record(source, language='python'), transformation)


@pytest.mark.parametrize('transformation', OF_PYTHON[:5], ids=lambda each: each.name)
def test_what_a_newer_python_parses_and_codemix_cannot_read_is_dropped(transformation, monkeypatch):
  monkeypatch.setattr(of_program, 'parses', lambda source: True)
  with pytest.raises(Unsuited, match='not understood'):
    transform(Record('x = (\n"', language='python'), transformation)


# What is shuffled.


@given(st.text(alphabet='ab \n\r', max_size=60), seeds)
def test_lines_are_permuted(text, seed):
  assert sorted(ShuffleLines(seed).transformed(Record(text)).split('\n')) == sorted(text.split('\n'))


@given(sources, seeds)
@quick
def test_tokens_are_permuted_within_their_line(source, seed):
  shuffled = of(source, ShuffleTokens(seed))
  assert Counter(code_tokens(shuffled)) == Counter(code_tokens(source))
  if not any(quotes in source for quotes in ('"""', "'''")):  # else a line of text is not one of tokens
    indentation = lambda line: line[: len(line) - len(line.lstrip())]
    lines = lambda text: [(indentation(line), Counter(code_tokens(line))) for line in text.split('\n')]
    assert lines(shuffled) == lines(source)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_tokens_of_real_programs_are_permuted(seed):
  source = some_file(seed)
  assert Counter(code_tokens(of(source, ShuffleTokens()))) == Counter(code_tokens(source))


@pytest.mark.parametrize('kind', SEEDED)
def test_a_seed_and_a_text_give_one_order_and_others_give_others(kind):
  source = ''.join(f'name_{index} = value_{index} + other_{index}\n' for index in range(20))
  assert of(source, kind(seed=1)) == of(source, kind(seed=1)) != of(source, kind(seed=2))
  # The order of a document says nothing of that of another one, though they have equally many lines.
  order = lambda text: [int(line.split()[0].split('_')[1]) for line in text.splitlines()]
  if kind is ShuffleLines:
    assert order(of(source, kind())) != order(of(source.replace('value', 'result'), kind()))


def test_every_order_of_lines_comes_about_as_often():
  counts = Counter(of('a\nb\nc', ShuffleLines(seed)) for seed in range(1200))
  assert len(counts) == 6 and all(140 < count < 260 for count in counts.values())  # 200 +- 13 each


def test_tokens_are_kept_apart_where_they_would_be_others():
  for source in ('a = b == -c', 'x = 1 .real', 'f(b, "s", rb)', 'a[1:...].b.c.d'):
    for seed in range(100):
      assert sorted(code_tokens(of(source, ShuffleTokens(seed)))) == sorted(code_tokens(source))


# What is renamed.


def assert_renamed(source: str, transformation: RenameIdentifiers) -> None:
  renamed = of(source, transformation)
  pairs = set(zip(names(source), names(renamed), strict=True))
  new = dict(pairs)
  assert len(new) == len(pairs) == len({after for _, after in pairs}), 'a name has two new names, or two have one'
  back = {after: before for before, after in pairs}
  assert map_names(renamed, back.__getitem__) == source
  if '=}' not in source:  # which shows the expression itself
    assert ast.dump(tree_of(map_names(renamed, back.__getitem__))) == ast.dump(tree_of(source))
  assert parses(renamed)


@given(sources, st.sampled_from(['numbered', 'own']), seeds)
@quick
def test_a_name_is_renamed_to_one_wherever_it_stands(source, new_names, seed):
  assert_renamed(source, RenameIdentifiers(new_names, seed=seed))


@given(seeds, st.sampled_from(['numbered', 'own']))
@settings(max_examples=10, deadline=None)
def test_names_of_real_programs_are_renamed(seed, new_names):
  assert_renamed(some_file(seed), RenameIdentifiers(new_names))


@given(sources, st.sampled_from(['numbered', 'own']))
@quick
def test_renaming_again_changes_nothing_but_which_name_is_which(source, new_names):
  once = of(source, RenameIdentifiers(new_names))
  twice = of(once, RenameIdentifiers(new_names))
  assert len(set(names(once))) == len(set(names(twice)))
  shape = lambda text: [names(text).index(name) for name in names(text)]
  assert shape(once) == shape(twice) == shape(source)


PROGRAM = '''from __future__ import annotations
import os

class Reader(Base):
  """Reads a path."""

  def __init__(self, path):
    self.path = os.path.join(path, f'{path!r}_{len(path):d}')  # the path
    print(self.path)
'''


def test_keywords_builtins_strings_and_comments_are_kept():
  renamed = of(PROGRAM, RenameIdentifiers())
  for kept in ('from __future__ import annotations', '"""Reads a path."""', '# the path', 'def __init__(', 'print(', 'len(', '!r}_', ':d}'):
    assert kept in renamed
  # The names: os, Reader, Base, self, path, join.
  assert {name for name in names(renamed) if name.startswith('v')} == {f'v{number}' for number in range(6)}
  assert not {'os', 'Reader', 'Base', 'self', 'path', 'join'} & set(names(renamed))


def test_names_of_its_own_are_another_order_of_the_same_words():
  renamed = of(PROGRAM, RenameIdentifiers('own'))
  assert set(names(renamed)) == set(names(PROGRAM)) and renamed != PROGRAM
  own = {'os', 'Reader', 'Base', 'self', 'path', 'join'}
  assert all(before != after for before, after in zip(names(PROGRAM), names(renamed), strict=True) if before in own)


def test_names_to_keep_are_kept_and_given_to_no_other():
  renamed = of('v0 = self.a + self.b + v0.c', RenameIdentifiers(keep=('self', 'v0')))
  assert names(renamed).count('self') == 2 and names(renamed).count('v0') == 2
  assert len(set(names(renamed))) == 5


def test_names_that_python_takes_for_one_are_renamed_as_one():
  assert len(set(names(of('ﬁ = 1\nfi + ﬁ\n', RenameIdentifiers())))) == 1


# What stays the same program.


@given(sources, st.integers(1, 8))
@quick
def test_indentation_is_normalised_and_the_program_is_the_same(source, spaces):
  normal = of(source, NormalizeIndentation(spaces))
  assert ast.dump(tree_of(normal)) == ast.dump(tree_of(source))
  assert code_tokens(normal) == code_tokens(source)
  assert of(normal, NormalizeIndentation(spaces)) == normal
  assert of(normal, NormalizeIndentation(3)) == of(source, NormalizeIndentation(3))


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_indentation_of_real_programs_is_normalised(seed):
  source = some_file(seed)
  normal = of(source, NormalizeIndentation(2))
  assert ast.dump(tree_of(normal)) == ast.dump(tree_of(source)) and of(normal, NormalizeIndentation(2)) == normal


def test_layouts_of_one_program_become_one():
  ugly = 'if x:\n\t# why\n\ty = f(a,\n\t      b,\n  )\n\tif z:\n\t   """a\n  b"""\n   # far\n# end\nelse: pass\n   \n'
  normal = 'if x:\n  # why\n  y = f(a,\n    b,\n  )\n  if z:\n    """a\n  b"""\n# far\n# end\nelse: pass\n\n'
  assert of(ugly, NormalizeIndentation(2)) == normal


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_other_line_ends_are_read(end):
  source = '# a\nif x:\n   y = 1  # b\n   z = "c"\n'.replace('\n', end)
  for transformation in OF_PYTHON:
    assert of(source, transformation)
  assert of(source, NormalizeIndentation(1)) == '# a\nif x:\n y = 1  # b\n z = "c"\n'.replace('\n', end)
  plain = end if end == '\r\n' else '\n'
  assert of(source, RemoveComments()) == 'if x:\n   y = 1\n   z = "c"\n'.replace('\n', plain)
  assert of(source, OnlyComments()) == '# a\n# b\n'.replace('\n', plain)


@pytest.mark.parametrize(('transformation', 'source'), [(RemoveComments(), '# only this\n'), (OnlyComments(), 'x = 1\n')])
def test_a_document_of_which_nothing_is_left_is_dropped_as_that(transformation, source):
  with pytest.raises(Unsuited, match='nothing left'):
    transform(Record(source, language='python'), transformation)
