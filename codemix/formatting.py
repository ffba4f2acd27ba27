"""Numbers as a person reads them in a report. NaN and None are an en dash: not known."""

from __future__ import annotations

import math

UNKNOWN = '–'
MINUS = '\u2212'  # as wide as a plus, so that signed columns line up


def known(value: float | None) -> bool:
  return value is not None and not (isinstance(value, float) and math.isnan(value))


def integer(value: float | None) -> str:
  """1234567 -> '1,234,567'."""
  return f'{round(value):,}' if known(value) else UNKNOWN


def count(number: int, noun: str) -> str:
  """A number of things: 1 -> '1 recipe', 12034 -> '12,034 recipes'."""
  return f'{number:,} {noun}{"s"[: number != 1]}'


def tokens(value: float | None) -> str:
  """A count with a unit, three digits or more: 8_421_376 -> '8.42M'."""
  if not known(value):
    return UNKNOWN
  for size, unit in ((1e12, 'T'), (1e9, 'B'), (1e6, 'M'), (1e3, 'k')):
    # 999,950 would print as '1000.0k': go up one unit as soon as rounding gets there.
    if value >= size * 0.9995:
      scaled = value / size
      return f'{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{unit}'
  return f'{value:.0f}'


def memory(count: int) -> str:
  """Bytes with a binary unit, three digits: 4_473_924 -> '4.27 MiB'."""
  for size, unit in ((2**40, 'TiB'), (2**30, 'GiB'), (2**20, 'MiB'), (2**10, 'KiB')):
    # 1,000 MiB would be four digits.
    if count >= size * 999.5 / 1024:
      return f'{count / size:#.3g}'.rstrip('.') + f' {unit}'
  return f'{count} B'


def bits(value: float | None) -> str:
  return f'{value:.3f}' if known(value) else UNKNOWN


def percent(value: float | None, digits: int = 1) -> str:
  """0.254 -> '25.4%'."""
  return f'{100 * value:.{digits}f}%' if known(value) else UNKNOWN


def points(value: float | None) -> str:
  """A fraction in percent, without the sign: 0.314 -> '31.4'."""
  return f'{100 * value:.1f}' if known(value) else UNKNOWN


def share(value: float | None) -> str:
  """A share of a mixture, no more digits than it needs: 0.5 -> '50%', 0.125 -> '12.5%'."""
  return f'{round(100 * value, 2):g}%' if known(value) else UNKNOWN


def signed(value: float | None) -> str:
  """A fraction in percent without the sign for it, beside one that has it: -0.0312 -> '\u22123.1'."""
  if not known(value):
    return UNKNOWN
  rounded = round(100 * value, 1)
  return f'{MINUS if rounded < 0 else "+" if rounded > 0 else ""}{abs(rounded):.1f}'


def signed_percent(value: float | None) -> str:
  """-0.0312 -> '\u22123.1%', with a true minus; what rounds to zero has no sign."""
  return f'{signed(value)}%' if known(value) else UNKNOWN


def ledger(value: float | None, column: str) -> str:
  """A cell of the ledger: epochs with three digits, so that their points line up, else counts."""
  if not known(value):
    return UNKNOWN
  return f'{value:,.3f}' if column.startswith('epochs') else integer(value)


def power(value: float | None) -> str:
  """1.23e15 -> '1.2 × 10¹⁵'."""
  if not known(value) or value == 0:
    return UNKNOWN if not known(value) else '0'
  mantissa, exponent = f'{value:.1e}'.split('e')
  return f'{mantissa} × 10{str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))}'


def duration(seconds: float | None) -> str:
  """Two units at most: 4000 -> '1 h 07 min'."""
  if not known(seconds):
    return UNKNOWN
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes:02d} min'
  return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
