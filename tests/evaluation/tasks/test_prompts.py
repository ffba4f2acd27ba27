"""Prompts do not change unseen: the page of the docs, and digests of the real ones."""

from __future__ import annotations

import pytest

from tests.evaluation.tasks import prompts_page


def test_the_page_has_the_prompts_that_a_model_is_shown():
  assert prompts_page.PAGE.read_text() == prompts_page.page()


@pytest.mark.skipif(not prompts_page.REAL.is_dir(), reason='the folder of real evaluation sets is not beside the project')
def test_the_prompts_of_the_real_sets_are_those_of_the_golden_file():
  assert prompts_page.GOLDEN.read_text() == prompts_page.golden()
