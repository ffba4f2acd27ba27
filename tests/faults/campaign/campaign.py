"""Injects one fault many times, and counts what became of each."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable

from tests.faults.campaign.faults import FAULTS, Disturbed, full_disk, small_disk
from tests.faults.campaign.member import COUNT
from tests.faults.campaign.run import DISK, Attempt, Place, Run, attempt

MOST_ATTEMPTS = 8  # for each injection that is asked for; a run that meets no fault is one, too


@dataclasses.dataclass
class Tally:
  """What became of one fault at one place.

  Attributes:
    injected: how often the fault met a process at work.
    detected: how often the run noticed it: by a documented exit code with its message, a warning that names the damage, or by trying again.
    recovered: after how many of them the same command went on, and the run ended bitwise as one that nothing disturbed.
    lost: the others.
    runs, attempts: that were needed.
    endings: how often the two processes ended with these codes in a disturbed attempt.
    problems: what was not as documented.
  """

  fault: str
  place: str
  injected: int = 0
  detected: int = 0
  recovered: int = 0
  lost: int = 0
  runs: int = 0
  attempts: int = 0
  endings: dict[str, int] = dataclasses.field(default_factory=dict)
  problems: list[str] = dataclasses.field(default_factory=list)


def inject(place: Place, fault: str, times: int, seed: int, show: Callable[[str], None] = lambda line: None) -> Tally:
  """Disturbs runs until a fault was injected `times` times and the last run has ended.

  Args:
    seed: of the random moments.
    show: called with a line after each attempt.
  """
  disturb, _ = FAULTS[fault]
  tally, rng = Tally(fault, place.kind), random.Random(f'{seed} {fault} {place.kind}')
  while tally.injected < times and tally.attempts < MOST_ATTEMPTS * times:
    tally.runs += 1
    name = f'{fault.replace(" ", "_")}-{seed}-{tally.runs}'
    on_small_disk = disturb is full_disk and place.kind == DISK
    with small_disk() if on_small_disk else contextlib.nullcontext() as disk:
      run = Run(place, name, f'{disk}/run' if disk else None)
      before = tally.injected
      problems = _disturb_to_the_end(run, tally, times, rng, show)
      try:
        if not problems and (different := run.differences()):
          problems.append(f'not as undisturbed: {", ".join(different[:5])}')
      except Exception as error:
        problems.append(f'its result cannot be read: {type(error).__name__}: {error}')
      if not problems:
        tally.recovered += tally.injected - before
        run.clean()
      tally.problems += [f'{name}: {problem}' for problem in problems]
  tally.lost = tally.injected - tally.recovered
  return tally


def _disturb_to_the_end(run: Run, tally: Tally, times: int, rng: random.Random, show: Callable[[str], None]) -> list[str]:
  """Starts a run again and again until it ends; returns what was not as documented."""
  disturb, _ = FAULTS[tally.fault]
  problems, expected = [], None
  while True:
    tally.attempts += 1
    if tally.injected < times:
      met = disturb(run, rng)
    else:
      started = attempt(run)
      codes = started.ends()
      met = Disturbed(started, codes, False, None, codes == [0] * COUNT)
    tally.injected += met.injected
    tally.detected += bool(met.injected and met.detected)
    if met.injected:
      ending = ' '.join(map(str, met.codes))
      tally.endings[ending] = tally.endings.get(ending, 0) + 1
    if expected:
      if expected in met.attempt.all_said():
        tally.detected += 1
      else:
        problems.append(f'attempt {run.attempts} does not say "{expected}"')
    expected = met.warning
    show(f'  {run.name}: attempt {run.attempts}, {met.attempt.steps()} steps, ended {met.codes}, injected {tally.injected}, detected {tally.detected}')
    if not met.documented:
      problems.append(f'attempt {run.attempts} ended with {met.codes}: {_ends(met.attempt)}')
      return problems
    if met.codes == [0] * COUNT:
      return problems
    if met.injected and met.detected is False:
      problems.append(f'attempt {run.attempts} ended with {met.codes} and did not say why: {_ends(met.attempt)}')


def _ends(started: Attempt) -> str:
  return ' | '.join(' / '.join(started.said(index).splitlines()[-3:]) for index in range(COUNT))
