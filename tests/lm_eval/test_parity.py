"""The adapter gives what the harness's own `hf` gives for the exported model, and codemix's own tasks what the harness's tasks give."""

from __future__ import annotations

import pytest

from tests.lm_eval import own_tasks, parity


@pytest.fixture
def peer(shared_data) -> None:
  if not parity.PEER.exists():
    pytest.skip('transformers 5 and lm-evaluation-harness are not there: launch/peers.sh makes .venv-peers')


@pytest.mark.slow
def test_log_likelihoods_and_accuracies_are_those_of_hf_on_the_exported_model(tmp_path, peer):
  parity.compare(tmp_path, ['piqa', 'lambada', 'winogrande'], limit=100)


@pytest.mark.slow
def test_own_tasks_differ_from_those_of_the_harness_for_the_stated_reasons_only(tmp_path, peer):
  own_tasks.compare(tmp_path, ['piqa', 'arc_easy', 'boolq'], limit=100)
