"""A/A studies: how often the report marks a difference between two arms that do not differ, on studies that are trained for real.

    python -m tests.inference.same_arms --studies 200

Each study has two arms of two seeds, with seeds of their own. The second arm reads a source with the same documents under another name,
so that codemix takes the arms for two. Everything between the training and the mark in the table is what `codemix study` runs.

With two seeds an arm Welch's test at a level of 5% finds fewer false differences than 5%, if the arms vary alike: its degrees of freedom are
estimated, and low. So the rates are also counted at the level at which they should be 5%.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

import codemix
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.inference.components import Components
from codemix.inference.power import Design, power
from codemix.report.content import gather
from codemix.report.results import read_study
from codemix.report.tables import changes_by_stage
from tests import tiny_study

SEEDS = 2  # an arm
STEPS = 60
LEVEL = 0.05
SAME = {'text_again': 0.5, 'code': 0.5}


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What the report says of one study.

  Attributes:
    p: of no change, by validation source.
    marked: whether the table of changes marks a difference, after Holm's correction for its comparisons.
  """

  p: dict[str, float]
  marked: bool


def prepare(root: Path) -> codemix.Data:
  """Text, the same text under a second name, and code."""
  data = tiny_study.prepare(root, code_words=60)
  text = tiny_study.documents('text', 12, 60_000 // 72, seed=True)
  tokenizer = load_tokenizer('bytes')
  tiny_study.write_store(data, 'text_again', 'train', [([*tokenizer.encode(of), tokenizer.eos_id], len(of)) for of in text])
  return data


def study_of(number: int, mixture: dict[str, float]) -> codemix.Study:
  """The study `number`, whose second arm has this mixture."""
  arms = {'base': {'text': 0.5, 'code': 0.5}, 'other': mixture}
  return tiny_study.study(**{
    f'{name}_s{seed}': tiny_study.recipe(tiny_study.stage('only', of, STEPS), seed=seed)
    for position, (name, of) in enumerate(arms.items())
    for seed in range((2 * number + position) * SEEDS, (2 * number + position + 1) * SEEDS)
  })  # fmt: skip


def outcome(number: int, data: codemix.Data, mixture: dict[str, float] | None = None) -> Outcome:
  """Trains a study and reads its report; the second arm has the mixture of the first unless another is given."""
  with tempfile.TemporaryDirectory() as folder:
    runtime = codemix.Runtime(output=folder, save_every=STEPS, tensorboard=False)
    codemix.run_study(study_of(number, mixture or SAME), data, runtime)
    content = gather(read_study(folder))
    changes = next(row for row in content.arm_rows if row.name == 'other').changes
    table = changes_by_stage(content)
    return Outcome({source: changes[source].p for source in content.study.validation_sources}, any(cell.mark for line in table.lines for cell in line.cells))


def expected(level: float) -> float:
  """The rate of false differences of two arms of SEEDS seeds each whose figures are normal and vary alike."""
  return power(0.0, Components(seed=1.0), Design(SEEDS, SEEDS, level=1 - level))


def exact_level() -> float:
  """The level at which `expected` is LEVEL."""
  from scipy.optimize import brentq

  return brentq(lambda level: expected(level) - LEVEL, LEVEL, 0.5)


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
  """Lines of a table in Markdown, with exact binomial intervals (Clopper and Pearson)."""
  from scipy.stats import binomtest

  yield '| comparison | level | studies | differences found | rate | its 95% interval | expected |\n|---|--:|--:|--:|--:|---|--:|'
  counted = [
    (f'{source}, alone', level, [each.p[source] <= level for each in outcomes], f'{expected(level):.1%}')
    for level in (LEVEL, exact_level())
    for source in outcomes[0].p
  ]
  counted.append(('any mark of the table, corrected', LEVEL, [each.marked for each in outcomes], f'{LEVEL:.0%} or less'))
  for name, level, found, rate in counted:
    ends = binomtest(sum(found), len(found)).proportion_ci(0.95)
    share = sum(found) / len(found)
    yield f'| {name} | {level:.1%} | {len(found)} | {sum(found)} | {share:.1%} | {100 * ends.low:.1f} to {100 * ends.high:.1f}% | {rate} |'


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument('--studies', type=int, default=200)
  parser.add_argument('--first', type=int, default=0, help='number of the first study: its seeds follow from it')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    jax.config.update('jax_compilation_cache_dir', f'{folder}/compiled')
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    data = prepare(Path(folder) / 'data')
    outcomes = []
    for number in range(arguments.first, arguments.first + arguments.studies):
      outcomes.append(outcome(number, data))
      print(number, outcomes[-1], flush=True)
  print('\n'.join(summary(outcomes)))


if __name__ == '__main__':
  main()
