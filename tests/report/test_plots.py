"""The parts of a report: labels, colours, and numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix import formatting
from codemix.report import palette, plots


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_labels_are_spread_in_order_and_apart(wanted):
  gap = min(0.05, 1 / len(wanted))
  placed = plots.spread_labels(wanted, gap)
  order = sorted(range(len(wanted)), key=lambda index: wanted[index])
  heights = [placed[index] for index in order]
  assert all(b - a >= gap - 1e-9 for a, b in zip(heights, heights[1:], strict=False))
  assert heights[0] >= -1e-9 and heights[-1] <= 1 + 1e-9


def test_no_two_names_share_a_colour():
  light = [paint.light for paint in palette.all_paints()]
  assert len(light) == len(set(light))


def test_more_recipes_than_colours_differ_by_their_dashes():
  paints = palette.arm_paints([f'r{n}' for n in range(33)], {'r4'})
  assert list(paints) == [f'r{n}' for n in range(33)]
  assert len({(paint.variable, paint.dash) for paint in paints.values()}) == 33


def test_every_declared_kind_has_colours_of_its_own():
  sources = [f's{n}' for n in range(12)]
  kinds = dict(zip(sources, ['text', 'code', 'maths', 'law'] * 2, strict=False))
  paints = palette.source_paints(sources, kinds)
  assert list(paints) == sources
  of = {s: paint.variable.rpartition('-')[0] for s, paint in paints.items()}
  assert [of[s] for s in sources] == ['text', 'code', 'kind-0', 'kind-1'] * 2 + ['undeclared'] * 4
  assert len({(paint.light, paint.dash) for paint in paints.values()}) == 12


@pytest.mark.parametrize(
  ('count', 'text'),
  [(0, '0'), (999, '999'), (999.6, '1.00k'), (8_421_376, '8.42M'), (999_960, '1.00M'), (9_996, '10.0k'),
   (440e9, '440B'), (float('nan'), '–'), (None, '–')],
)  # fmt: skip
def test_tokens_have_a_unit(count, text):
  assert formatting.tokens(count) == text


@given(st.floats(-2, 2))
def test_a_change_that_rounds_to_zero_has_no_sign(value):
  text = formatting.signed_percent(value)
  assert text[0] in '+\u2212' or text == '0.0%'
  assert float(text.rstrip('%').replace('\u2212', '-')) == pytest.approx(100 * value, abs=0.051)
