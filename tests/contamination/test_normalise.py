"""Units are the same however a text is cased, spaced or encoded, and say where they stand."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.contamination.code_units import KEYWORDS, NAME, code_units
from codemix.contamination.normalise import alphabet, byte_offsets, characters

EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
WORDS = st.lists(st.text(st.characters(categories=('L', 'N')), min_size=1, max_size=8), max_size=12)


def values(text: str | bytes, marks_count: bool = False) -> list[int]:
  raw = text if isinstance(text, bytes) else text.encode('utf-8', 'surrogatepass')
  return alphabet(marks_count).units(characters(raw)).values.tolist()


@given(st.text())
@settings(deadline=None)
def test_case_does_not_change_units(text):
  assert values(text) == values(text.upper()) == values(text.lower()) == values(text.swapcase()) == values(text.title())


@given(st.text())
@settings(deadline=None)
def test_unicode_forms_do_not_change_units(text):
  assert values(text) == values(unicodedata.normalize('NFC', text)) == values(unicodedata.normalize('NFD', text))


@given(WORDS, st.data())
@settings(deadline=None)
def test_spacing_and_punctuation_do_not_change_words(words, data):
  gaps = st.text(st.sampled_from(' \t\r\n\u00a0\u2003.,;:!?()[]"\'_-\u2019\u201c'), min_size=1, max_size=4)
  spaced = ''.join(word + data.draw(gaps) for word in words)
  assert values(spaced) == values(' '.join(words))


def test_every_character_folds_as_its_own_upper_and_lower_case():
  cased = [c for c in EVERY if c.lower() != c or c.upper() != c]
  assert [c for c in cased if not values(c) == values(c.lower()) == values(c.upper())] == []


def test_every_character_is_what_it_is_composed_of():
  composed = [(c, unicodedata.normalize('NFKD', c)) for c in EVERY if unicodedata.normalize('NFKD', c) != c]
  assert {len(f'{ord(c):x}') for c, _ in composed} == {2, 3, 4, 5}  # of the supplementary planes too
  assert [c for c, parts in composed if not values(c) == values(parts) == values(unicodedata.normalize('NFC', c))] == []


def test_invisible_characters_and_accents_are_in_no_unit():
  visible = '\u200b\u0345'  # a space between words; an accent whose capital is a letter
  invisible = [c for c in EVERY if unicodedata.category(c) in ('Mn', 'Mc', 'Me', 'Cf') and c not in visible]
  assert '\U000e0100' in invisible  # a variation of the ideograph before it
  word = values('ab')
  assert [c for c in invisible if values(f'a{c}b') != word] == []


@pytest.mark.parametrize(
  ('one', 'other'),
  [
    ('Stra\u00dfe', 'STRASSE'),
    ('caf\u00e9', 'cafe'),
    ('\ufb01ne', 'fine'),
    ('it\u2019s', "it's"),
    ('hy\u00adphen', 'hyphen'),
    ('\uff21\uff22', 'ab'),
  ],
)
def test_spellings_of_one_word_are_one(one, other):
  assert values(one) == values(other)


@pytest.mark.parametrize(('one', 'other'), [('ab c', 'a bc'), ('abc', 'ab'), ('abc', 'acb'), ('a\u200bb', 'ab'), ('x1', 'x2')])
def test_different_words_differ(one, other):
  assert values(one) != values(other)


def test_scripts_without_spaces_have_a_word_for_each_letter():
  assert len(values('\u4f60\u597d\u4e16\u754c')) == 4
  assert len(values('\u4f60 \u597d\u3002\u4e16\u754c')) == 4
  assert len(values('\U00020000\U00020001')) == 2


@given(st.lists(st.sampled_from(['word', 'na\u00efve', '\u00bd', 'e\u0301t\u00e9', '\u4f60', '\U0001d400b', '...', '\u2026', '\ufeff', '_']), max_size=9))
@settings(deadline=None)
def test_units_stand_where_they_say(words):
  text = ' '.join(words).encode()
  codes = characters(text)
  units, offsets = alphabet(False).units(codes), byte_offsets(codes)
  assert offsets[-1] == len(text)
  pieces = [text[offsets[a] : offsets[b]] for a, b in zip(units.starts, units.ends, strict=True)]
  # A fraction is two words, which both stand where it does; all others are alone.
  for piece, value in zip(pieces, units.values.tolist(), strict=True):
    assert value in values(piece) and len(values(piece)) == (2 if piece == '\u00bd'.encode() else 1)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_have_units_inside_them(raw):
  codes = characters(raw)
  offsets = byte_offsets(codes)
  units = alphabet(True).units(codes)
  assert offsets[-1] == len(raw)
  assert (np.diff(np.stack([units.starts, units.ends]), axis=0) > 0).all()
  assert (units.ends <= len(codes)).all()


def test_every_keyword_is_known_and_no_name_is():
  units = code_units(characters(' '.join(KEYWORDS).upper().encode()))
  assert len(units) == len(KEYWORDS) == len(set(KEYWORDS)) == len(set(units.values.tolist()))
  assert NAME not in units.values
  assert (code_units(characters(b'total _x list2 \xc3\xa9t\xc3\xa9 ifx')).values == NAME).all()
  twice_encoded = '\U0002f800 \u4e3d \U0002f800\u4e3d'
  assert (code_units(characters(twice_encoded.encode())).values == NAME).all()
  assert NAME not in code_units(characters(b'1 0x1f 2nd + - { } "')).values


def test_marks_of_code_are_units_and_quotes_are_one_mark():
  assert values('a[i]+=1', True) == values('a [ i ] + = 1', True)
  assert values("'x'", True) == values('"x"', True) != values('(x)', True)
  assert len(values('min_cost(a)', True)) == 4
