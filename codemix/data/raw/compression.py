"""Compressed files as streams that give every byte before a damage, and then raise `Damaged`."""

from __future__ import annotations

import bz2
import dataclasses
import io
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Literal

import zstandard

from codemix.data.raw.foreign import foreign_form

_ZSTD_WINDOW_BYTES = 2**31  # files made with `zstd --long=31`
_BZIP2_BLOCK_BYTES = 900_000  # of text, at most
_ZSTD_HEADER_BYTES = 18  # the longest header of a frame, which may hold the size of its contents


class Damaged(Exception):
  """The bytes of a file are damaged; the bytes before them have been read.

  Attributes:
    kind: 'foreign' (it is another kind of file), 'cut' (it ends too soon), 'broken' (bytes that
      cannot be decoded), 'checksum' (decoded, but not to what was compressed), or 'trailing'
      (bytes after its end that are not compressed data).
    lost_share: text that is lost over text that was read, estimated from the stored bytes; None
      where it is unknown, as for a file that ends too soon.
    form: what a foreign file is, as a short label; '' where it is not known.
  """

  def __init__(self, message: str, kind: Literal['foreign', 'cut', 'broken', 'checksum', 'trailing'], lost_share: float | None = None, form: str = ''):
    super().__init__(message)
    self.kind, self.lost_share, self.form = kind, lost_share, form


@dataclasses.dataclass(frozen=True)
class _Format:
  """A form of compression.

  Attributes:
    name: for messages.
    magic: matches the beginning of each member (gzip), frame (zstd) or stream (bzip2, xz).
    magic_bytes: how long that is.
    decoder: makes an object that decodes one of them, with `decompress`, `eof` and `unused_data`.
    errors: what `decompress` raises for broken bytes.
    step_bytes: stored bytes decoded at a time; it bounds what comes out at once.
  """

  name: str
  magic: re.Pattern[bytes]
  magic_bytes: int
  decoder: Callable
  errors: tuple[type[Exception], ...]
  step_bytes: int


def _zstd_decoder():
  return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()


# The steps: deflate makes at most 1,032 bytes of one, zstd 128 KiB of 4, xz about 7,000 of one, and
# bzip2 a block of 900 kB of a few dozen. So at most some 32 MiB come out at once.
_GZIP = _Format('gzip', re.compile(rb'\x1f\x8b'), 2, lambda: zlib.decompressobj(wbits=31), (zlib.error,), 2**14)
_ZSTD = _Format('zstd', re.compile(rb'\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18', re.DOTALL), 4, _zstd_decoder, (zstandard.ZstdError,), 2**10)
_BZIP2 = _Format('bzip2', re.compile(rb'BZh'), 3, bz2.BZ2Decompressor, (OSError, EOFError), 2**10)
_XZ = _Format('xz', re.compile(rb'\xfd7zXZ\x00'), 6, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (lzma.LZMAError,), 2**12)

_FORMATS = {
  '.gz': _GZIP, '.gzip': _GZIP, '.bgz': _GZIP, '.zst': _ZSTD, '.zstd': _ZSTD, '.bz2': _BZIP2, '.xz': _XZ,
}
ENDINGS = tuple(_FORMATS)


def format_of(url: str) -> _Format | None:
  """How a file is compressed, by the end of its name; None where it is not."""
  return next((form for ending, form in _FORMATS.items() if url.lower().endswith(ending)), None)


class Decompressed(io.RawIOBase):
  """The contents of a compressed file: all its members, one after another.

  Zeros behind a member are padding, as the tools take them.

  Raises (from reading, once every byte before the damage was given):
    Damaged: it ends too soon, or its bytes are not what they were.
  """

  def __init__(self, open_at: Callable[[int], io.BufferedReader], form: _Format, size: Callable[[], int]):
    """A stream.

    Args:
      open_at: opens the stored bytes from a given one on.
      form: of the compression.
      size: gives the number of stored bytes.
    """
    self._open_at, self._form, self._size = open_at, form, size
    self._stored = open_at(0)
    self._input = b''  # read, not yet decoded
    self._decoder = None  # of the member in work
    self._members = 0  # that were read whole
    self._begin = self._at = 0  # stored bytes before the member, and that were decoded
    self._text = self._member_text = 0  # bytes that came out: in all, and of the member
    self._member_size: int | None = None  # the text size that its header states
    self._waiting = memoryview(b'')  # came out, not yet asked for
    self._damage: Damaged | None = None

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    while not self._waiting:
      if self._damage:
        raise self._damage
      if not (self._decoder or self._next_member()):
        if self._damage:
          continue
        return 0
      self._step()
    count = min(len(buffer), len(self._waiting))
    buffer[:count] = self._waiting[:count]
    self._waiting = self._waiting[count:]
    return count

  def close(self) -> None:
    self._stored.close()
    super().close()

  def _next_member(self) -> bool:
    """Begins the next member; False at the end, and where what follows is not a member."""
    if self._members:
      self._skip_padding()
    head = self._peek(max(self._form.magic_bytes, _ZSTD_HEADER_BYTES))
    if not head and self._members:
      return False
    if not self._form.magic.match(head):
      self._damage = self._trailing() if self._members else self._foreign()
      return False
    self._decoder = self._form.decoder()
    self._begin, self._member_text = self._at, 0
    self._member_size = _zstd_contents(head) if self._form is _ZSTD else None
    return True

  def _skip_padding(self) -> None:
    while block := self._peek(1):
      self._input = block.lstrip(b'\0')
      self._at += len(block) - len(self._input)
      if self._input:
        return

  def _peek(self, count: int) -> bytes:
    while len(self._input) < count and (block := self._stored.read(self._form.step_bytes)):
      self._input += block
    return self._input

  def _step(self) -> None:
    data = self._input or self._stored.read(self._form.step_bytes)
    self._input = b''
    if not data:
      self._damage = self._cut()
      return
    try:
      self._give(self._decoder.decompress(data))
      self._at += len(data)
    except self._form.errors as error:
      self._give(self._salvaged(data))
      self._damage = self._broken(str(error))
      return
    if self._decoder.eof:
      self._input = self._decoder.unused_data
      self._at -= len(self._input)
      self._decoder = None
      self._members += 1

  def _give(self, text: bytes) -> None:
    self._text += len(text)
    self._member_text += len(text)
    self._waiting = memoryview(text)

  def _salvaged(self, data: bytes) -> bytes:
    """The text of `data` before its broken byte, which a decoder that fails does not return.

    The member is decoded once more up to `data`, and from there byte by byte.
    """
    decoder, given, salvaged = self._form.decoder(), self._member_text, []
    with self._open_at(self._begin) as stored:
      left = self._at - self._begin
      while left:
        block = stored.read(min(left, self._form.step_bytes))
        given -= len(decoder.decompress(block))
        left -= len(block)
    for byte in range(len(data)):
      try:
        salvaged.append(decoder.decompress(data[byte : byte + 1]))
      except self._form.errors:
        break
      self._at += 1
    return b''.join(salvaged)[max(given, 0) :]

  def _foreign(self) -> Damaged:
    if not self._input:
      return Damaged(f'it has no bytes at all, not even the head of a {self._form.name} file', 'foreign', form='empty file')
    if known := foreign_form(self._input):
      form, advice = known
      return Damaged(f'its name says {self._form.name}; {advice}', 'foreign', form=form)
    return Damaged(f'it is not {self._form.name}, as its name says; if it is plain text, rename it', 'foreign')

  def _trailing(self) -> Damaged:
    unread = self._size() - self._at
    return self._described(f'its end is followed by {unread:,} {"byte that is" if unread == 1 else "bytes that are"} not {self._form.name}', 'trailing', unread / self._at)

  def _cut(self) -> Damaged:
    share = None
    if self._member_size is not None and self._text:
      share = (self._member_size - self._member_text) / self._text
    return self._described('it ends too soon', 'cut', share)

  def _broken(self, error: str) -> Damaged:
    unread = self._size() - self._at
    if 'incorrect data check' in error or 'incorrect length check' in error or "doesn't match checksum" in error:
      # Decoded to the end: any part of it may be wrong.
      share = self._member_text / self._text if self._text else None
      message = f'its checksum does not agree; something in the last {self._member_text:,} bytes is wrong, and it is unknown what'
      return self._described(message, 'checksum', share)
    share = unread / self._at if self._text else None
    if self._form is _BZIP2 and share is not None:
      # Its checksum is that of a block, all of which came out before it was known to be wrong.
      share = share + _BZIP2_BLOCK_BYTES / self._text if self._text > _BZIP2_BLOCK_BYTES else None
    return self._described(f'its {self._form.name} data are broken ({error})', 'broken', share)

  def _described(self, message: str, kind, share: float | None) -> Damaged:
    where = f'read up to byte {self._at:,} of {self._size():,} as stored, {self._text:,} of its text'
    return Damaged(f'{message} ({where})', kind, share)


def _zstd_contents(head: bytes) -> int | None:
  """The size that the header of a frame gives for its contents, if it does."""
  try:
    size = zstandard.frame_content_size(head)
  except zstandard.ZstdError:
    return None
  return size if size >= 0 else None
