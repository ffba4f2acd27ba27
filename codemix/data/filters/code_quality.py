"""The paper's quality filters for code (arXiv:2408.10914, appendix A.1).

The appendix gives one line for each; what counts as a number or a list is
decided here. Each filter reads a text once, in time linear in its length.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from codemix.checked import From, UpTo, checked
from codemix.data.filters.top_level_domains import COUNTRY_DOMAINS, KNOWN_DOMAINS

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class MaxFloats:
  """Drops texts with more than `limit` floating-point numbers: tables of data rather than code.

  A floating-point number is a decimal one with digits after its point (0.5,
  .5, 1_000.25), or with an exponent (1e-5, 1.e-5, 2.5E3). A suffix or unit may
  follow (1.5f, 1.5em). Versions and addresses (1.2.3), digits behind a letter
  (v1.5) and a point that ends a sentence (in 1999.) do not count.
  """

  stable_name, version = 'max_floats', 1

  limit: Annotated[int, From(0)] = 1000

  # A number's first character, not inside a name, a longer number or a dotted chain such as 1.2.3.
  # Then either .5, or 12.5 with or without an exponent, or 1e-5.
  _number = re.compile(
    r"""
    [0-9.] (?<! [\w.][0-9.] )
    (?:
      (?<=\.) [0-9]++ (?: [eE][+-]?+[0-9]++ )?+ (?! \.[0-9] )
    | (?<=[0-9]) [0-9_]*+ (?:
        \. (?: [0-9]++ (?: [eE][+-]?+[0-9]++ )?+ | [eE][+-]?+[0-9]++ ) (?! \.[0-9] )
      | [eE][+-]?+[0-9]++ [fFdDlLjJ]?+ (?! \.?\w )
      )
    )
    """,
    re.VERBOSE | re.ASCII,
  )

  @property
  def name(self) -> str:
    return f'at most {self.limit:,} floating-point numbers'

  def reason(self, record: Record) -> str | None:
    numbers = self._number.finditer(record.text)
    return 'floats' if next(itertools.islice(numbers, self.limit, None), None) else None


@dataclasses.dataclass(frozen=True)
@checked
class HexLiterals:
  """Drops texts that contain `0x`, anywhere."""

  stable_name, version = 'hex_literals', 1
  name = "no '0x'"

  def reason(self, record: Record) -> str | None:
    return 'hexadecimal' if '0x' in record.text else None


@dataclasses.dataclass(frozen=True)
@checked
class TopLevelDomainLists:
  """Drops texts that are lists of top-level domains, such as those of IANA or the public suffix list.

  Words are runs of ASCII letters, digits, hyphens and points, without points
  and hyphens at their ends, of lines that are not comments (that begin with
  one of // # ; -- /* <!--). A text is such a list if

    - `com`, `net` and `org` are words of it, and so are at least
      `country_domains` of the two-letter country domains, each in small or in
      capital letters;
    - such words are there no more than twice each on the average: a list names
      a thing once, while a program uses its two-letter names again and again;
    - at least a tenth of its words are top-level domains known here (those of
      countries and the older generic ones) or dotted names that end in one.

  So a table from domains to countries is one, too; a list of country or
  language codes is not one, nor is a short list of domains.
  """

  stable_name, version = 'top_level_domain_lists', 1
  name = 'no lists of top-level domains'

  country_domains: Annotated[int, From(1), UpTo(len(COUNTRY_DOMAINS))] = 100

  _word = re.compile(r'[A-Za-z0-9.-]++')
  _two_letters = re.compile(r'(?<![A-Za-z0-9-])(?:[a-z]{2}|[A-Z]{2})(?![A-Za-z0-9-])')
  _comment = re.compile(r'[ \t]*(?://|#|;|--|/\*|<!--)')
  _longest = 253  # characters of a domain name (RFC 1035)

  def reason(self, record: Record) -> str | None:
    return 'top-level domains' if self._is_list(record.text) else None

  def _is_list(self, text: str) -> bool:
    # Two quick looks, which nearly no other text passes.
    if not all(name in text or name.upper() in text for name in ('com', 'net', 'org')):
      return False
    short = {match[0] for match in self._two_letters.finditer(text)}
    if len(COUNTRY_DOMAINS & set(map(str.lower, short))) < self.country_domains:
      return False
    distinct, named, dotted, words = self._counts(text)
    return (
      {'com', 'net', 'org'} <= distinct
      and len(COUNTRY_DOMAINS & distinct) >= self.country_domains
      and named <= 2 * len(distinct)
      and 10 * (named + dotted) >= words
    )

  def _counts(self, text: str) -> tuple[set[str], int, int, int]:
    """(known domains that are words, how many words they are, dotted words that end in one, all words)."""
    distinct: set[str] = set()
    named = dotted = words = 0
    for begin, end in self._lines(text):
      for match in self._word.finditer(text, begin, end):
        words += 1
        if match.end() - match.start() > self._longest:
          continue
        word = match[0].strip('.-')
        if not (word.islower() or word.isupper()):
          continue
        before, _, last = word.lower().rpartition('.')
        if last in KNOWN_DOMAINS:
          if before:
            dotted += 1
          else:
            distinct.add(last)
            named += 1
            if named > 2 * len(KNOWN_DOMAINS):  # too many for a list, whatever follows
              return distinct, named, dotted, words
    return distinct, named, dotted, words

  def _lines(self, text: str) -> Iterator[tuple[int, int]]:
    """(begin, end) of each line that is not a comment, without a copy of the text."""
    begin = 0
    while begin < len(text):
      end = text.find('\n', begin)
      end = len(text) if end < 0 else end
      if not self._comment.match(text, begin, end):
        yield begin, end
      begin = end + 1


@dataclasses.dataclass(frozen=True)
@checked
class GeneratedBy:
  """Drops texts with "generated by", in whatever case, in their first `characters` characters."""

  stable_name, version = 'generated_by', 1

  characters: Annotated[int, From(1), 'characters'] = 400

  @property
  def name(self) -> str:
    return f"no 'generated by' in the first {self.characters:,} characters"

  def reason(self, record: Record) -> str | None:
    return 'generated' if 'generated by' in record.text[: self.characters].lower() else None
