"""`Posts.xml` of a Stack Exchange data dump: a question with its answers is a row."""

from __future__ import annotations

import contextlib
import dataclasses
import posixpath
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

from codemix.checked import From, checked
from codemix.data.raw.compression import Damaged
from codemix.data.raw.damage import EMPTY, damaged, foreign
from codemix.data.raw.protocols import Piece, Reader
from codemix.data.raw.record import BadRecord
from codemix.data.raw.storage import BLOCK_BYTES, open_raw
from codemix.errors import UserError

_ROW = re.compile(rb'row[\s/>]')
_QUESTION, _ANSWER = '1', '2'  # PostTypeId; the others are wiki pages of tags, elections and so on


@dataclasses.dataclass(frozen=True)
@checked
class PostsXml(Reader):
  """Questions in order of their number, each with its answers, best score first.

  A row has `id` (the question's number), `site`, `title`, `body`, `score`, `tags`, and `answers`
  as a list of {'id', 'body', 'score'}; bodies are HTML. The layout `Question` makes text of it.

  An answer may stand far behind its question, and the largest dump has 100 GB. The posts are
  therefore sorted by question in a temporary database on disk (in TMPDIR; about twice the size of
  the XML), in bounded memory. A post that is
  not XML is set aside alone: dumps of some years hold characters that XML does not allow.

  Attributes:
    site: such as 'stackoverflow'; '' for the name of the folder that the file is in.
    max_post_bytes: a longer post is set aside.
  """

  stable_name, version = 'posts_xml', 2

  site: str = ''
  max_post_bytes: Annotated[int, From(1), 'bytes'] = 16 * 2**20

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """Raises UserError where there is no room for the temporary database."""
    with (
      tempfile.TemporaryDirectory(prefix='codemix-posts-') as folder,
      contextlib.closing(_database(Path(folder))) as posts,
    ):
      try:
        damage = None
        try:
          for post in _posts(piece.url, self.max_post_bytes):
            if isinstance(post, BadRecord):
              yield post
            else:
              posts.execute('INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?)', post)
        except _Unclosed as unclosed:
          damage = unclosed
        posts.commit()
        if damage:
          yield damage.bad(piece.url, posts.execute('SELECT count(*) FROM posts WHERE NOT answer').fetchone()[0])
        yield from _questions(posts, piece.url, self._site(piece.url))
      except sqlite3.OperationalError as error:
        raise UserError(
          f'the posts of {piece.url} cannot be sorted in {folder}: {error}. About twice the size of the XML is needed there; TMPDIR names another folder.'
        ) from error

  def sample(self, pieces: Sequence[Piece]) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """Questions as they come, without their answers: nothing need be sorted for it."""
    for piece in pieces:
      try:
        for post in _posts(piece.url, self.max_post_bytes):
          if isinstance(post, BadRecord):
            yield post
          elif not post[1]:
            number, _, score, _, line, title, tags, body = post
            yield _question(piece.url, line, number, self._site(piece.url), title, body, score, tags)
      except _Unclosed as unclosed:
        yield unclosed.bad(piece.url, 0)

  def _site(self, url: str) -> str:
    return self.site or posixpath.basename(posixpath.dirname(url))


def _database(folder: Path) -> sqlite3.Connection:
  posts = sqlite3.connect(folder / 'posts.sqlite')
  # The file is temporary, so it need not survive a crash.
  posts.executescript(
    """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
    CREATE TABLE posts (question INT, answer INT, score INT, id INT, line INT, title, tags, body);
    """
  )
  return posts


def _questions(posts: sqlite3.Connection, url: str, site: str) -> Iterator[tuple[str, Mapping] | BadRecord]:
  """Groups the posts: of each question the post itself comes first, then its answers."""
  place = question = None
  ordered = 'SELECT * FROM posts ORDER BY question, answer, score DESC, id'
  for number, is_answer, score, id, line, title, tags, body in posts.execute(ordered):
    if not is_answer:
      if question:
        yield place, question
      place, question = _question(url, line, number, site, title, body, score, tags)
    elif question and question['id'] == number:
      question['answers'].append({'id': id, 'body': body, 'score': score})
    else:
      yield BadRecord(f'{url}:{line}', 'answer without question', f'to {number}', expected=True)
  if question:
    yield place, question


def _question(url, line, number, site, title, body, score, tags) -> tuple[str, dict]:
  """The place and row of a question, without answers yet."""
  question = {'id': number, 'site': site, 'title': title, 'body': body, 'score': score, 'tags': tags}
  return f'{url}:{line}', {**question, 'answers': []}


class _Unclosed(Exception):
  """The list of posts is not closed, or the file is damaged.

  Attributes:
    damage: what is wrong; None where the file is empty.
    line: the line of the last post that was read.
    closed: the list of posts was closed before.
  """

  def __init__(self, damage: Damaged | None, line: int, closed: bool):
    super().__init__()
    self.damage, self.line, self.closed = damage, line, closed

  def bad(self, url: str, questions: int) -> BadRecord:
    """As a BadRecord; what it costs depends on how many questions were read."""
    if self.damage is None:
      return BadRecord(url, EMPTY, 'there is nothing in it', expected=True)
    return damaged(url, self.damage, questions, f'after line {self.line:,}', self.closed)


def _posts(url: str, limit: int) -> Iterator[tuple | BadRecord]:
  """The questions and answers of a file, in its order, as rows of the table.

  Raises _Unclosed: at its end, where that is not as it should be.
  """
  if other := foreign(url):
    yield other
    return
  with open_raw(url) as file:
    for line, element in _elements(file, limit):
      place = f'{url}:{line}'
      if element is None:
        yield BadRecord(place, 'too long', f'a post of more than {limit} bytes')
      elif (post := _post(place, line, element)) is not None:
        yield post


def _post(place: str, line: int, element: bytes) -> tuple | BadRecord | None:
  """An element as a row of the table; None for a post that is neither question nor answer."""
  try:
    post = ElementTree.fromstring(element).attrib
    number, score = int(post['Id']), int(post.get('Score') or 0)
    if post['PostTypeId'] == _QUESTION:
      return number, 0, score, number, line, post.get('Title', ''), post.get('Tags', ''), post['Body']
    if post['PostTypeId'] == _ANSWER:
      return int(post['ParentId']), 1, score, number, line, '', '', post['Body']
    return None
  except ElementTree.ParseError as error:
    return BadRecord(place, 'not XML', str(error))
  except (KeyError, ValueError, OverflowError) as error:
    return BadRecord(place, 'no post', f'{type(error).__name__}: {error}')


def _elements(file, limit: int) -> Iterator[tuple[int, bytes | None]]:
  """(line, `<row .../>`) of a stream of XML; None for one longer than `limit`.

  XML has no '<' inside of an attribute, so an element ends before the next one.

  Raises _Unclosed: the list of posts is not closed, or the file is damaged.
  """
  line, last, closed, anything, damage = 1, 1, False, False, None
  try:
    for text, newlines in _between(file, b'<', limit):
      anything = anything or text is None or bool(text.strip())
      if text is None:
        last = line
        yield line, None
      elif _ROW.match(text):
        last = line
        element = b'<' + text.rstrip()
        # The end of `<row ...></row>` stands behind the next '<'.
        yield line, element if element.endswith(b'/>') else element + b'</row>'
      else:
        closed = closed or text.startswith(b'/posts')
      line += newlines
  except Damaged as error:
    damage = error
  if damage or not closed:
    missing = Damaged('</posts> is missing at the end', 'cut') if anything else None
    raise _Unclosed(damage or missing, last, closed)


def _between(file, separator: bytes, limit: int) -> Iterator[tuple[bytes | None, int]]:
  """(what stands between separators, newlines in it); None for what is longer than `limit`.

  Of a damaged file the last of them, which may not be whole, is only given where it ends as an
  element does.
  """
  waiting, skipped, damage = b'', None, None
  while True:
    try:
      block = file.read1(BLOCK_BYTES)
    except Damaged as error:
      block, damage = b'', error
    if not block:
      break
    *whole, waiting = (waiting + block).split(separator)
    for text in whole:
      fits = skipped is None and len(text) <= limit
      yield text if fits else None, text.count(b'\n') + (skipped or 0)
      skipped = None
    if len(waiting) > limit:
      waiting, skipped = b'', (skipped or 0) + waiting.count(b'\n')
  if damage is None or waiting.rstrip().endswith(b'>'):
    yield (waiting, 0) if skipped is None else (None, skipped)
  if damage:
    raise damage
