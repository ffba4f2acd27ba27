"""What columns stand for, by name or as the user says."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from codemix.report.swarm.columns import (
  TASK_GROUPS,
  code_columns,
  code_notes,
  domain_groups,
  few,
  is_code,
  task_groups,
)


@pytest.mark.parametrize('domain', ['stack-edu:Markdown', 'stack_edu:CSharp', 'github', 'C++', 'Python', 'lang:Go', 'starcoder', 'code', 'the-stack', 'lang:Perl', 'lang:Emacs Lisp', 'language:F#', 'Julia', 'stack-v2:TeX'])
def test_languages_and_collections_of_code_are_code(domain):
  assert is_code(domain)


@pytest.mark.parametrize('domain', ['dclm:software_development', 's2pdf:software_dev', 'wikipedia', 'stackexchange', 'arxiv', 'codes_of_law', 'dclm:games'])
def test_texts_about_software_are_not(domain):
  assert not is_code(domain) and not code_notes([domain, 'github'], ['github'])


@pytest.mark.parametrize('domain', ['arxiv:tex', 'tex', 'lang:HTML', 'topic:c', 'wiki:shell', 'web:Go'])
def test_papers_markup_and_topics_named_like_a_language_are_not(domain):
  assert not is_code(domain)


def test_domains_that_may_be_of_code_are_named():
  domains = ['lang:Rust', 'lang:HTML', 'lang:Befunge', 'topic:c', 'dolma:starcoder', 'web:games']
  beside, alike = code_notes(domains, code_columns(domains, (), 'f'))
  assert beside.startswith('Not counted as code, as other domains with the same prefix are: lang:HTML, lang:Befunge.')
  assert ': topic:c, dolma:starcoder.' in alike and '--code' in alike
  assert code_notes(['lang:Rust', 'web:games'], ['lang:Rust']) == []


DOMAINS = ('web:games', 'web:software', 'stack-edu:C', 'stack-edu:Go', 'wiki')


def test_the_user_decides_what_is_code():
  assert code_columns(DOMAINS, (), 'f') == ['stack-edu:C', 'stack-edu:Go']
  assert code_columns(DOMAINS, ['*:software', 'stack-edu:G?'], 'f') == ['web:software', 'stack-edu:Go']


def test_a_pattern_that_matches_nothing_names_the_nearest():
  with pytest.raises(UserError, match=r"ratios.csv is called 'stackedu:\*'.* The nearest: stack-edu:C"):
    code_columns(DOMAINS, ['stack-edu:*', 'stackedu:*'], 'ratios.csv')


def test_domains_without_code_are_listed():
  with pytest.raises(UserError, match=r"--code='stack-edu:\*'.*Its domains: games, software_development, decoding"):
    code_columns(['games', 'software_development', 'decoding'], (), 'f')


def test_code_alone_has_nothing_beside_it():
  with pytest.raises(UserError, match='every domain of f is of code'):
    code_columns(['Python', 'C'], (), 'f')


def test_domains_are_grouped_by_their_prefix():
  assert domain_groups(DOMAINS) == {'web': ['web:games', 'web:software'], 'stack-edu': ['stack-edu:C', 'stack-edu:Go'], 'wiki': ['wiki']}


def test_every_task_is_in_one_group_by_its_name():
  tasks = ['mbpp:3shot', 'mt_mbpp_v2:c', 'mt_mbpp_v2:rust', 'codex_humaneval:3shot', 'mmlu_law:rc', 'hellaswag:rc', 'my_task:a', 'my_task:b', 'piqa', 'drop:rc']
  groups = task_groups(tasks, (), 'f')
  assert sorted(task for members in groups.values() for task in members) == sorted(tasks)
  assert groups['MBPP in many languages'] == ['mt_mbpp_v2:c', 'mt_mbpp_v2:rust'] and groups['MBPP'] == ['mbpp:3shot']
  assert groups['my_task'] == ['my_task:a', 'my_task:b']
  assert list(groups)[:2] == list(TASK_GROUPS)[:2] and all(groups.values())


def test_the_groups_of_the_user_are_the_only_ones():
  assert task_groups(['a1', 'a2', 'b'], ['A=a?'], 'f') == {'A': ['a1', 'a2']}
  assert task_groups(['a1', 'a2', 'b'], [' A =a1 , b,'], 'f') == {'A': ['a1', 'b']}


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (['A'], 'write NAME=PATTERNS'), (['=a*'], 'write NAME=PATTERNS'), (['A=a1', 'A=a2'], 'given twice'), (['A=a1', 'A =a2'], 'given twice'), (['A= , '], 'write NAME=PATTERNS'),
    (['A=hellaswg'], r"no task of f is called 'hellaswg'.* The nearest: hellaswag"), (['A=a*', 'B=a1'], "'a1' is in 'A' and in 'B'"),
  ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(given, message):
  with pytest.raises(UserError, match=message):
    task_groups(['a1', 'a2', 'hellaswag'], given, 'f')


def test_long_lists_say_how_much_is_left():
  assert few(['a', 'b']) == 'a, b' and few(list('abcdefg'), 3) == 'a, b, c and 4 more'
