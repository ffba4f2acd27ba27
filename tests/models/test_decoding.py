"""What a Decoding accepts."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from codemix.models.decoding import Decoding


def test_white_space_may_end_a_completion_and_nothing_may_not():
  assert Decoding(stop=('\n', '\n\n', ' ')).stop == ('\n', '\n\n', ' ')
  with pytest.raises(UserError, match="Decoding.stop has ''"):
    Decoding(stop=('\n', ''))
