"""The page of the small reproduction takes its tables from a report."""

from __future__ import annotations

import runpy

import pytest

from tests.test_docs import ROOT

PAGE = runpy.run_path(str(ROOT / 'docs' / 'reproduction.py'))
REPORT = '# reproduction\n\nnote\n\n## Claims\n\n| a |\n|---|\n\n## Benchmarks\n\n### ARC\n\n| a |\n| seed 0 | 7 |\n| seed 12 | 7 |\n| b |\n| seed 1 | 8 |\n'


def test_places_are_filled_again_with_what_the_report_says_now():
  page = 'before\n<!-- reproduction: Benchmarks -->\nold\n<!-- end -->\nafter\n<!-- other: Claims -->\nkept\n<!-- end -->\n'
  once = PAGE['filled'](page, REPORT)
  assert once == page.replace('old\n', '\n### ARC\n\n| a |\n| b |\n\n') and PAGE['filled'](once, REPORT) == once


def test_a_place_without_a_section_is_named():
  with pytest.raises(SystemExit, match="has no section 'Nothing'; it has Claims, Benchmarks"):
    PAGE['filled']('<!-- reproduction: Nothing -->\n<!-- end -->', REPORT)


def test_pictures_of_the_page_are_those_of_the_report(tmp_path):
  (tmp_path / 'figures').mkdir()
  (tmp_path / 'figures' / 'share0-0.svg').write_text('<svg/>')
  page = '![a](_static/one/share0-0.svg) ![b](_static/other/none.svg)'
  PAGE['copy_pictures'](page, 'one', tmp_path / 'figures', tmp_path / 'static')
  assert [path.read_text() for path in (tmp_path / 'static').rglob('*.svg')] == ['<svg/>']
  with pytest.raises(SystemExit, match='has no none.svg'):
    PAGE['copy_pictures'](page, 'other', tmp_path / 'figures', tmp_path / 'static')


def test_the_places_of_the_page_are_sections_of_a_report():
  page = (ROOT / 'docs' / 'reproduction.md').read_text()
  places = {(study, heading) for _, study, heading, _ in PAGE['PLACE'].findall(page)}
  assert places == {('reproduction', 'Claims'), ('reproduction', 'What the mixture did'), ('reproduction', 'After each stage'), ('reproduction', 'Benchmarks'), ('reproduction', 'Beside the paper'), ('kinds', 'Claims'), ('kinds', 'What the mixture did')}
