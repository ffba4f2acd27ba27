"""`codemix inspect` answers one question at a time, and says so."""

from __future__ import annotations

import pytest

from codemix.cli import main


@pytest.mark.parametrize(
  ('flags', 'told'),
  [
    (['--check', '--time'], 'argument --time: not allowed with argument --check'),
    (['--step=1', '--find=def'], 'argument --find: not allowed with argument --step'),
    (['--stage=code'], '--stage=code: add --step=N, --find=TEXT or --time'),
    (['--stage=code', '--check'], '--stage=code: add --step=N'),
  ],
)
def test_a_flag_that_would_be_passed_over_is_refused(flags, told, capsys):
  assert main(['inspect', '--gin_file=recipes/balanced_to_text.gin', *flags]) == 2
  assert told in capsys.readouterr().err
