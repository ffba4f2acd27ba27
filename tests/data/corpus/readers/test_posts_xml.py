"""Posts.xml: questions with their answers by score, wherever in the file they stand."""

import dataclasses
import gzip
import random
import re
import sqlite3
import tracemalloc
from xml.sax.saxutils import quoteattr

import pytest

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.html_text import html_to_text
from codemix.data.corpus.layouts.question import Question
from codemix.data.corpus.layouts.template import Template
from codemix.data.corpus.readers.posts_xml import PostsXml
from codemix.data.raw.protocols import Piece
from codemix.data.raw.record import BadRecord
from codemix.errors import UserError
from tests.data.corpus.files import gzip_lines, read, read_good, reasons, write_bytes

FOLDER = 'corpora/stackexchange/matheducators'


def post(**attributes):
  return f'  <row {" ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items())} />'


def question(id, body='<p>Why?</p>', **more):
  return post(Id=id, PostTypeId=1, Score=1, Body=body, Title=f'title {id}', **more)


def answer(id, to, score=0, body='<p>So.</p>'):
  return post(Id=id, PostTypeId=2, ParentId=to, Score=score, Body=body)


def rows_of(tmp_path, posts, end='\n</posts>\n', separator='\n', **options):
  text = '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + separator.join(posts) + end
  path = write_bytes(tmp_path / 'site' / 'Posts.xml', text.encode())
  return list(PostsXml(**options).rows(Piece(path)))


def test_answers_find_their_question_from_anywhere(tmp_path):
  posts = [question(3), question(1), answer(2, 1, 5), answer(4, 1, 9), answer(5, 3), answer(6, 1, 5)]
  random.Random(1).shuffle(posts)
  rows = [row for _, row in rows_of(tmp_path, posts)]
  assert [(row['id'], [each['id'] for each in row['answers']]) for row in rows] == [(1, [4, 2, 6]), (3, [5])]
  assert {row['site'] for row in rows} == {'site'}


def test_a_broken_post_costs_itself_only(tmp_path):
  posts = [
    question(1),
    '  <row Id="2" PostTypeId="2" ParentId="1" Body="a &#x1; that XML does not allow" />',
    '  <row Id="x" PostTypeId="1" Body="no number" />',
    '  <row Id="4" PostTypeId="1" />',
    post(Id=5, PostTypeId=5, Body='a wiki page'),
    answer(6, 999),
    question(7, body='x' * 3000),
    answer(8, 1, body='<p>two\nlines</p>'),
    '  <row Id="9" PostTypeId="1" Body="not closed" ',
    question(10),
  ]
  found = rows_of(tmp_path, posts, max_post_bytes=2000)
  assert reasons(found) == {
    'Posts.xml:4': 'not XML',
    'Posts.xml:5': 'no post',
    'Posts.xml:6': 'no post',
    'Posts.xml:8': 'answer without question',
    'Posts.xml:9': 'too long',
    'Posts.xml:11': 'not XML',
  }
  assert [(row[1]['id'], len(row[1]['answers'])) for row in found if not isinstance(row, BadRecord)] == [(1, 1), (10, 0)]


def test_posts_need_not_stand_on_lines_of_their_own(tmp_path):
  found = rows_of(tmp_path, [question(1), answer(2, 1)], separator=' ')
  assert [len(row['answers']) for _, row in found] == [1]


def test_a_layout_is_tried_before_anything_is_sorted(tmp_path, monkeypatch):
  rows_of(tmp_path, [question(1), answer(2, 1)])
  monkeypatch.setattr('codemix.data.corpus.readers.posts_xml._database', None)
  corpus = Corpus({'train': 'site/Posts.xml'}, PostsXml(), Question(), root=str(tmp_path))
  corpus.check('train')
  with pytest.raises(UserError, match="'titel'.* Did you mean 'title'"):
    dataclasses.replace(corpus, layout=Template('{titel}')).check('train')


def test_a_full_disk_is_said(tmp_path, monkeypatch):
  def full(*_):
    raise sqlite3.OperationalError('database or disk is full')

  monkeypatch.setattr('codemix.data.corpus.readers.posts_xml._questions', full)
  with pytest.raises(UserError, match='disk is full.*TMPDIR'):
    rows_of(tmp_path, [question(1)])


def test_a_file_that_is_cut_short_is_damaged(tmp_path):
  found = rows_of(tmp_path, [question(1)], end='')
  assert reasons(found)['Posts.xml'] == 'damaged file'


def test_a_real_dump_gives_the_questions_made_from_it_elsewhere(shared_data):
  records = read_good(Corpus({'train': 'Posts.xml.gz'}, PostsXml(), Question(), root=str(shared_data / FOLDER)))
  told = {record['url']: record for record in gzip_lines(shared_data / FOLDER / 'qa.jsonl.gz')}
  assert {record.source for record in records} == {'matheducators'}
  found = {re.sub('^matheducators', 'https://matheducators.stackexchange.com', record.id): record for record in records}
  assert found.keys() == told.keys()
  # The numbers of lists are left out there.
  words = lambda text: re.findall(r'\w+', re.sub(r'^ *\d+\. ', '', text, flags=re.M))
  same = [words(found[url].text) == words(told[url]['text']) for url in told]
  assert sum(same) > 0.97 * len(same)
  assert all(found[url].text.count('\n\nA: ') >= told[url]['answers'] for url in told)


def test_memory_does_not_grow_with_the_dump(shared_data, tmp_path):
  with gzip.open(shared_data / FOLDER / 'Posts.xml.gz', 'rt', encoding='utf-8-sig') as file:
    lines = [line for line in file if '<row' in line]

  def peak(times):
    def shifted(line, by):
      return re.sub(r'\b(Id|ParentId)="(\d+)"', lambda match: f'{match[1]}="{int(match[2]) + by}"', line)

    path = tmp_path / f'{times}' / 'Posts.xml'
    path.parent.mkdir()
    with open(path, 'w') as file:
      file.write('<posts>\n')
      for time in range(times):
        file.writelines(shifted(line, time * 100_000) for line in lines)
      file.write('</posts>\n')
    tracemalloc.start()
    count = sum(1 for _ in PostsXml().rows(Piece(str(path))))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == times * 397
    return most

  assert peak(8) < 1.3 * peak(1) + 2**20


@pytest.mark.parametrize(
  ('html', 'text'),
  [
    ('<p>One\n  two</p>\n\n<p>three</p>', 'One two\n\nthree'),
    ('<p>Run <code>a  &lt; b</code>:</p><pre><code>def f(x):\n    return  x &lt; 1\n</code></pre>\n<p>Done</p>',
     'Run `a < b`:\n\ndef f(x):\n    return  x < 1\n\nDone'),
    ('<ul>\n<li>one</li>\n<li><p>two</p></li>\n</ul>\n<p>end', '- one\n- two\n\nend'),
    ('a<br>b<br/>c', 'a\nb\nc'),
    ('<script>x = "<p>"</script>seen<style>p {}</style>', 'seen'),
    ('<p><a href="u">link</a><img src="i" alt="picture"> &amp; $x &lt; 1$</p>', 'link & $x < 1$'),
    ('<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>', 'a b\nc'),
    ('<b>never <i>closed', 'never closed'),
    ('2<sup>3</sup> and 10<sup>-6</sup>', '2^3 and 10^-6'),
    ('x<sup>n+1</sup> y<sub>i</sub><sup>2</sup>, e<sup>x<sup>2</sup></sup>, H<sub>2</sub>O', 'x^(n+1) y_i^2, e^(x^2), H_2O'),
    ('<p><sub>small print, alone</sub></p><p>so <sup>(I guess)</sup> it is</p>', 'small print, alone\n\nso (I guess) it is'),
    ('<p>open<sup>2</p><p>and <code>code</p>', 'open^2\n\nand `code`'),
    ('<code>a`b</code> <code>`c`</code> <code>``</code>', '``a`b`` `` `c` `` ``` `` ```'),
    ('<pre><code>    x\n  y &lt; 1\n\n\n  z</code></pre>', '    x\n  y < 1\n\n\n  z'),
    ('<pre>a<br>b<br><br>c</pre>', 'a\nb\n\nc'),
    ('<ul><li>a<ul><li>b</li><li>c</li></ul></li><li>d</li></ul>e', '- a\n  - b\n  - c\n- d\n\ne'),
    ('<ol start="3"><li>c</li><li value="7">g</li><li></li><li>i</li></ol>', '3. c\n7. g\n9. i'),
    ('a<!-- not this -->b&nbsp;c<hr>d', 'ab\xa0c\n\nd'),
    ('', ''),
  ],
)
def test_html_as_text(html, text):
  assert html_to_text(html) == text


def test_html_that_is_nested_without_end_takes_no_time():
  for html in ('<sup>a' * 50_000, '<ul><li>a' * 50_000, '<code>`' * 50_000, 'x<sup>' + '(' * 500_000 + '</sup>'):
    assert html_to_text(html)


@pytest.mark.parametrize(
  'row', ['<row {}></row>', '<row {}>\n</row>', '<row\r\n {} />', '<row\n{}/>', '<row\t{}/>', '<row {} />', '<row\x20{}></row >']
)
def test_a_post_is_read_however_its_element_is_written(tmp_path, row):
  posts = ['Id="1" PostTypeId="1" Title="t" Body="&lt;p&gt;2&lt;sup&gt;3&lt;/sup&gt;&lt;/p&gt;"', 'Id="2" ParentId="1" PostTypeId="2" Body="so"']
  rows = '\n'.join(row.format(post) for post in posts)
  (tmp_path / 'Posts.xml').write_bytes(f'<?xml version="1.0"?>\r\n<posts>\r\n{rows}\r\n</posts>'.encode())
  (record,) = read(Corpus({'train': 'Posts.xml'}, PostsXml(), Question(), root=str(tmp_path)))
  assert record.text == 'Q: t\n\n2^3\n\nA: so'
