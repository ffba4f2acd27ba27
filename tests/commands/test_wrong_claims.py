"""Claims, arms and baselines that do not exist: one line that says what to change, exit code 2, before anything is prepared."""

from __future__ import annotations

import pytest

from codemix import cli

BOUND = ("--gin.Study.claims={'first': @first/Claim()}", "--gin.first/Claim.arm='50% code'", "--gin.first/Claim.metric='local_code'", "--gin.first/Claim.expected='lower'")
TWICE = ("--gin.Study.claims={'first': @first/Claim(), 'second': @first/Claim()}", *BOUND[1:])


def refused(capfd, tmp_path, *flags: str) -> str:
  output = tmp_path / 'out'
  assert cli.main(['study', '--gin_file=studies/proportions.gin', f"--gin.Runtime.output='{output}'", f"--gin.Data.directory='{tmp_path / 'data'}'", *flags]) == 2
  assert not output.exists() and not (tmp_path / 'data').exists()
  lines = capfd.readouterr().err.splitlines()
  [line] = [line for line in lines if line.startswith('codemix study: ')]
  assert not any('Traceback' in line for line in lines)
  return line


@pytest.mark.parametrize(
  ('flags', 'says'),
  [
    ((*BOUND, "--gin.first/Claim.arm='50% kode'"), "the claim 'first' of Study.claims: Claim.arm is '50% kode', which is not a recipe or an arm of the study (0% code, 25% code, 50% code, 75% code, 90% code, 100% code). Did you mean '50% code'?"),
    ((*BOUND, "--gin.first/Claim.against='51% code'"), "Claim.against is '51% code', which is not a recipe or an arm"),
    ((*BOUND, "--gin.first/Claim.metric='local_kode'"), "nobody measures 'local_kode': the stages are scored on local_text, local_code. Did you mean 'local_code'?"),
    ((*BOUND, "--gin.first/Claim.metric='humaneval'"), "nobody measures 'humaneval'"),
    ((*BOUND, "--gin.first/Claim.expected='lowr'"), "Claim.expected is 'lowr'; it is one of higher, lower, equal. Did you mean 'lower'?"),
    ((*BOUND, '--gin.first/Claim.margin=-1'), 'Claim.margin is -1; it is a number, at least 0.'),
    ((*BOUND, "--gin.first/Claim.expected='equal'"), 'which no run can show: give the largest difference that does not matter'),
    ((*BOUND, '--gin.first/Claim.stage=2'), "Claim.stage is 2, and '50% code' has 1 stage."),
    (TWICE, "the claims 'first' and 'second' of Study.claims say the same"),
    (BOUND[:3], 'Claim'),
    (("--gin.Study.baseline='0% kode'",), "Study.baseline is '0% kode', which is not a recipe of the study (0% code, 25% code, 50% code, 75% code, 90% code, 100% code). Did you mean '0% code'?"),
    (("--gin.Study.recipes={'a': @a/Recipe(), 'a': @b/Recipe()}",), "a dictionary has the key 'a' twice"),
    (('--gin.sweep.shares=(0.5, 0.5)',), 'sweep.shares has a number twice'),
  ],
)  # fmt: skip
def test_what_a_study_cannot_be_is_refused(capfd, tmp_path, flags, says):
  assert says in refused(capfd, tmp_path, *flags)
