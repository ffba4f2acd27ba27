"""What the tests of the sandbox share."""

from __future__ import annotations

import pytest

from codemix.sandbox.verified import sandbox_works


@pytest.fixture(scope='session')
def sandbox() -> None:
  """Skips where programs cannot be isolated."""
  if not sandbox_works():
    pytest.skip('bubblewrap is not installed, or cannot make its namespaces here')
