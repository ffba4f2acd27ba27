"""How to repeat a study: its command and what it ran with, in words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from codemix import formatting
from codemix.report.results import StudyResults

COMMAND_WIDTH = 90  # of a command on one line
_LABELS = {
  'date': 'date', 'git': 'revision', 'seed': 'seed', 'python': 'Python', 'platform': 'platform',
  'cpu_count': 'processor cores', 'tokenizer_digest': 'tokenizer', 'corpora_digest': 'corpora',
}  # fmt: skip


def command(study: StudyResults) -> str:
  """The study's command as it can be pasted into a shell, an argument a line if it is long.

  Commands are recorded as `shlex.join` writes them, with '"'"' for each quote within an argument;
  double quotes around it read better. A command that was recorded otherwise is left as it is.
  """
  recorded = study.provenance.get('command') or 'the command was not recorded'
  try:
    words = shlex.split(recorded)
  except ValueError:
    return recorded
  if shlex.join(words) != recorded:
    return recorded
  quoted = [f'"{word}"' if "'" in word and not set(word) & set('"$`\\!\n') else shlex.quote(word) for word in words]
  line = ' '.join(quoted)
  return line if len(line) < COMMAND_WIDTH else ' \\\n  '.join(_by_flag(quoted))


def _by_flag(words: Sequence[str]) -> list[str]:
  """The words of a command, each flag with the values after it on one line."""
  lines: list[list[str]] = []
  for word in words:
    if not lines or word.lstrip('\'"').startswith('-'):
      lines.append([])
    lines[-1].append(word)
  return [' '.join(line) for line in lines]


def facts(study: StudyResults) -> list[tuple[str, str]]:
  """(what, value) of all that is needed to repeat the study, except for its command."""
  record = {key: value for key, value in study.provenance.items() if key not in ('command', 'versions')}
  order = [*(key for key in _LABELS if record.get(key) is not None), *(key for key in record if key not in _LABELS)]
  lines = [(_LABELS.get(key, spaced(key)), in_words(record[key])) for key in order]
  return lines + [(package, in_words(version)) for package, version in study.provenance.get('versions', {}).items()]


def spaced(key: str) -> str:
  return key.replace('_', ' ')


def in_words(value: Any) -> str:
  """Plain data as a person reads it."""
  if isinstance(value, Mapping):
    return ', '.join(f'{key} {in_words(inner)}' for key, inner in value.items())
  if isinstance(value, list | tuple):
    return ', '.join(map(in_words, value))
  return formatting.integer(value) if isinstance(value, int) and abs(value) >= 10_000 else str(value)
