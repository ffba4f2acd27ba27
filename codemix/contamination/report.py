"""Formats `contamination.json` as a table."""

from __future__ import annotations

from collections.abc import Iterator

from codemix.contamination.result import ALL

HEAD = ('set', 'stage', 'source', 'items', 'too short', 'touched', 'not clean', 'contaminated')
_NUMBERS = 5  # of the columns, at the right


def table(result: dict) -> str:
  """A line for each set and stage with what its model consumed up to its end, then a line for each source."""
  rows = [HEAD, *(row for described in result['sets'] for row in _rows(described))]
  widths = [max(len(row[c]) for row in rows) for c in range(len(HEAD))]
  lines = ['  '.join(_cell(row, c, widths[c]) for c in range(len(HEAD))).rstrip() for row in rows]
  settings = result['settings']
  return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:], '', *_notes(settings)])


def _rows(described: dict) -> Iterator[tuple[str, ...]]:
  shown = [count for count in described['counts'] if count['rows'] == 'up to its end']
  for number, count in enumerate(shown):
    whole = count['source'] == ALL
    yield (
      described['set'] if not number else '',
      count['stage'] if whole else '',
      '' if whole else count['source'],
      f'{described["items"]:,}' if whole else '',
      f'{len(described["too_short"]):,}' if whole else '',
      *(f'{count[key]:,}' for key in ('touched', 'not_clean', 'contaminated')),
    )


def _cell(row: tuple[str, ...], column: int, width: int) -> str:
  return row[column].rjust(width) if column >= len(HEAD) - _NUMBERS else row[column].ljust(width)


def _notes(settings: dict) -> list[str]:
  words, code = settings['words'], settings['code']
  return [
    f'touched: a window of {words["n"]} words ({words["minimum"]} or more for a shorter passage), or of {code["n"]} units of code '
    'without names, occurs in what the model was trained on up to the end of the stage.',
    f'not clean: {settings["clean"]:.0%} or more of the windows of a question or answer do; contaminated: {settings["contaminated"]:.0%} or more.',
  ]
