"""What the columns of a swarm's files stand for: domains of code, groups of domains, groups of tasks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from codemix.data.languages import is_programming_language
from codemix.errors import UserError

# Collections of code: what stands before the colon of a domain, or its whole name; '_' and '-' are alike.
CODE_PREFIXES = (
  'algebraic-stack', 'code', 'github', 'github-code', 'stack-edu', 'stack-v1', 'stack-v2', 'starcoder', 'starcoderdata', 'the-stack', 'the-stack-dedup', 'the-stack-v2',
)  # fmt: skip
# What stands before the colon of a domain that is a language. Behind other words, such as 'topic:c' and 'wiki:shell', the name of a language may be a topic.
LANGUAGE_PREFIXES = ('lang', 'language', 'languages', 'programming', 'programming-language', 'programming-languages')

# Groups of tasks by names of tasks without what stands behind the first colon; the first that matches counts.
TASK_GROUPS: Mapping[str, tuple[str, ...]] = {
  'HumanEval': ('*humaneval*',),
  'MBPP': ('mbpp*',),
  'MBPP in many languages': ('mt_mbpp*', 'multipl*mbpp*'),
  'Minerva MATH': ('minerva*',),
  'MMLU': ('mmlu*',),
  'ARC': ('arc_*', 'arc-*'),
  'HellaSwag': ('hellaswag*',),
  'Common sense': ('csqa*', 'commonsense*', 'copa*', 'piqa*', 'siqa*', 'social*iqa*', 'winogrande*'),
  'Question answering': ('boolq*', 'coqa*', 'drop*', 'jeopardy*', 'naturalq*', 'nq*', 'squad*', 'trivia*qa*', 'webq*'),
  'Science and medicine': ('lab_bench*', 'medmcqa*', 'medqa*', 'openbookqa*', 'obqa*', 'qasper*', 'sciq*', 'sciriff*'),
  'Basic skills': ('basic_skills*',),
  'LAMBADA': ('lambada*',),
}


def code_columns(domains: Sequence[str], patterns: Sequence[str], file: str) -> list[str]:
  """The domains of code, in the order of the file.

  Args:
    domains: all of them.
    patterns: names that the user gave, with `*`; () for what is known as code by name.

  Raises UserError: a pattern matches no domain; no domain, or every domain, is of code.
  """
  for pattern in patterns:
    if not _matched(domains, [pattern]):
      raise UserError(f"--code: no domain of {file} is called '{pattern}'.{_closest(pattern, domains)}")
  found = _matched(domains, patterns) if patterns else [domain for domain in domains if is_code(domain)]
  if not found:
    raise UserError(
      f"no domain of {file} is of code by its name: no programming language, alone or as 'lang:Rust', and no collection such as 'stack-edu:'. "
      f"Name them, as in --code='stack-edu:*'.{_closest('code', domains)} Its domains: {few(domains, 30)}."
    )
  if len(found) == len(domains):
    raise UserError(f'every domain of {file} is of code ({few(found)}), so there is nothing to compare it with. Name those of code with --code.')
  return found


def is_code(domain: str) -> bool:
  """Whether a domain is of code by its name: 'stack-edu:Markdown', 'github', 'lang:Julia' and 'C++' are, 'topic:c' and 'lang:HTML' are not."""
  prefix, colon, name = domain.partition(':')
  return _spelled(prefix) in CODE_PREFIXES or (not colon or _spelled(prefix) in LANGUAGE_PREFIXES) and is_programming_language(name if colon else prefix)


def code_notes(domains: Sequence[str], code: Sequence[str]) -> list[str]:
  """A sentence about domains that may be of code by their names, and are not among `code`, those that are known by name."""
  others = [domain for domain in domains if domain not in code]
  prefixes = {domain.partition(':')[0] for domain in code if ':' in domain}
  beside = [domain for domain in others if ':' in domain and domain.partition(':')[0] in prefixes]
  alike = [domain for domain in others if domain not in beside and _like_code(domain)]
  notes = []
  if beside:
    notes.append(f'Not counted as code, as other domains with the same prefix are: {few(beside, 20)}. Name all those of code with --code if they are code.')
  if alike:
    notes.append(f'Not counted as code, though a part of their names is that of a language or of a collection of code: {few(alike, 20)}. Name all those of code with --code if they are code.')
  return notes


def _like_code(domain: str) -> bool:
  return any(_spelled(part) in CODE_PREFIXES or is_programming_language(part) for part in domain.split(':'))


def _spelled(name: str) -> str:
  return re.sub('[_ ]', '-', name.strip().lower())


def domain_groups(domains: Sequence[str]) -> dict[str, list[str]]:
  """The domains by what stands before their colon; one without a colon is a group."""
  groups: dict[str, list[str]] = {}
  for domain in domains:
    groups.setdefault(domain.partition(':')[0], []).append(domain)
  return groups


def task_groups(tasks: Sequence[str], given: Sequence[str], file: str) -> dict[str, list[str]]:
  """The tasks by group.

  Without groups of the user, those of `TASK_GROUPS`; a task in none is grouped with those whose names are the same up to the first colon.

  Args:
    given: 'NAME=PATTERN,PATTERN' of each group; a task in none of them is in no group.

  Raises UserError: a group is not written so or is given twice, its pattern matches no task, or a task is in two groups.
  """
  if not given:
    groups: dict[str, list[str]] = {name: [] for name in TASK_GROUPS}
    for task in tasks:
      stem = task.partition(':')[0]
      known = (name for name, patterns in TASK_GROUPS.items() if any(fnmatchcase(stem.lower(), pattern) for pattern in patterns))
      groups.setdefault(next(known, stem), []).append(task)
    return {name: members for name, members in groups.items() if members}
  found: dict[str, list[str]] = {}
  for text in given:
    name, equals, listed = text.partition('=')
    name, patterns = name.strip(), [pattern.strip() for pattern in listed.split(',') if pattern.strip()]
    if not equals or not name or not patterns:
      raise UserError(f"--groups={text}: write NAME=PATTERNS, as in --groups='MBPP=mbpp*,mt_mbpp*'.")
    if name in found:
      raise UserError(f"--groups: '{name}' is given twice; put its patterns behind one =, with commas.")
    for pattern in patterns:
      if not _matched(tasks, [pattern]):
        raise UserError(f"--groups: group '{name}': no task of {file} is called '{pattern}'.{_closest(pattern, tasks)}")
    found[name] = _matched(tasks, patterns)
    for other, members in found.items():
      if other != name and (both := [task for task in found[name] if task in members]):
        raise UserError(f"--groups: '{both[0]}' is in '{other}' and in '{name}'; a task has one group.")
  return found


def few(names: Sequence[str], number: int = 5) -> str:
  """'a, b, c and 4 more'."""
  rest = len(names) - number
  return ', '.join(names[:number]) + (f' and {rest:,} more' if rest > 0 else '')


def _matched(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
  return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _closest(pattern: str, names: Sequence[str]) -> str:
  """` The nearest: a, b, c.`, or ''."""
  bare = pattern.strip('*').lower()
  near = [name for name in names if bare and bare in name.lower()]
  lower = {name.lower(): name for name in names}
  near += [lower[each] for each in difflib.get_close_matches(bare, lower, n=3, cutoff=0.4)]
  return f' The nearest: {", ".join(list(dict.fromkeys(near))[:3])}.' if near else ''
