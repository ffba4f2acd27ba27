"""Text as bytes, valid UTF-8 or not, and the characters that represent bytes in a byte-level BPE."""

from __future__ import annotations

import functools
import re

BYTES = 256

# `bytes.decode(errors='surrogateescape')` puts one of these for each byte that is not UTF-8, and
# valid UTF-8 decodes to none of them.
_NOT_UTF8 = re.compile('([\udc80-\udcff]+)')


def as_bytes(text: str | bytes) -> bytes:
  """UTF-8, with the three-byte form for a lone surrogate (JSON files have them: "\\ud83d")."""
  return text if isinstance(text, bytes) else text.encode('utf-8', 'surrogatepass')


def valid_and_damaged(text: str | bytes) -> list[str]:
  """[valid, damaged, valid, ..., valid]; damaged: a surrogate for each byte that is not UTF-8."""
  data = as_bytes(text)
  try:
    return [data.decode()]
  except UnicodeDecodeError:
    return _NOT_UTF8.split(data.decode('utf-8', 'surrogateescape'))


@functools.cache
def byte_alphabet() -> dict[str, int]:
  """The character that represents each byte in a byte-level BPE (Radford et al., 2019: GPT-2).

  Printable bytes of Latin-1 are represented by themselves, the others by the
  characters from U+0100 on.
  """
  printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
  others = sorted(set(range(BYTES)) - set(printable))
  return {chr(byte): byte for byte in printable} | {
    chr(BYTES + n): byte for n, byte in enumerate(others)
  }
