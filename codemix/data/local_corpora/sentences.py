"""Recognises English sentences by the statistics of their words and characters."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r'(?<!e\.g)(?<!i\.e)[.!?]["\')\]]*(?=\s|$)')
_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
# Not in the words of a sentence: marks of identifiers, calls, operators, paths, placeholders.
_CODE_MARK = re.compile(
  r'[_=<>{}\\^@$|~%#*&]|\w\(|\w\.\w|::|\w/\w|[a-z][A-Z]|\d[a-zA-Z]|\[(?!\d+\])'
)
_NOT_IN_SENTENCES = re.compile(r'[^\w .,;:\'"()’“”–—?!-]|[\d_]')
_LEGAL = re.compile(r'(?i)licen[cs]e|copyright|warrant(y|ies)|redistribut|permission is|all copies')
_MAIL_ADDRESS = re.compile(r'\w@\w+\.\w')
_FUNCTION_WORDS = frozenset(
  _WORD.findall(
    'a about after all also an and any are as at be because been before both but by can could do does'
    ' each either for from had has have how if in into is it its may more most must no not of on once'
    ' one only or other our over same should so some such than that the their them then there these'
    ' they this those to two under until use used using was we were what when where whether which'
    ' while who will with within without would you your'
  )
)

LEAST_CHARACTERS = 60
_LEAST_WORDS = 9
_LEAST_FUNCTION_WORDS = 0.25  # of the words; running English has 0.4 to 0.5
_MOST_CODE_WORDS = 0.15  # of what white space separates
_MOST_OTHER_CHARACTERS = 0.07  # digits and signs other than punctuation


def whole_sentences(text: str) -> str:
  """`text` up to the end of its last sentence: the rest introduces code that was removed."""
  end = 0
  for match in _SENTENCE_END.finditer(text):
    end = match.end()
  return text[:end]


def is_prose(paragraph: str) -> bool:
  """Whether a paragraph (one line, plain text) consists of English sentences, none of them legal text."""
  return len(paragraph) >= LEAST_CHARACTERS and _is_english(paragraph, _LEAST_WORDS)


def is_summary(sentence: str) -> bool:
  """Whether a short first paragraph is an English sentence, too short to stand by itself."""
  return len(sentence) < LEAST_CHARACTERS and _is_english(sentence, least_words=4)


def _is_english(text: str, least_words: int) -> bool:
  if not text or not (text[0].isupper() or text[0] in '"\'(“'):
    return False
  words = _WORD.findall(text)
  if len(words) < least_words or _LEGAL.search(text) or _MAIL_ADDRESS.search(text):
    return False
  function_words = sum(word.lower() in _FUNCTION_WORDS for word in words)
  if function_words < _LEAST_FUNCTION_WORDS * len(words):
    return False
  if len(_NOT_IN_SENTENCES.findall(text)) > _MOST_OTHER_CHARACTERS * len(text):
    return False
  parts = text.split(' ')
  code_words = sum(_CODE_MARK.search(part) is not None for part in parts)
  return code_words <= _MOST_CODE_WORDS * len(parts)
