"""What the shipped recipes and studies come to at every scale, on data of the published sizes.

No data is read: a store says how large it is, and no more. What the plans come to is data in tests/golden/plans.txt, so
that a change of gin shows what it does. After one that is meant: `python -m tests.test_gin_plans`, and read the
difference.
"""

from __future__ import annotations

import functools
import os
import tempfile
import types
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import pytest

from codemix import config
from codemix.data.batches import source_use
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source import Cursor
from codemix.data.languages import CODE_DOCUMENTS, MARKUP_DOCUMENTS
from codemix.data.mixtures.mixture import Mixture
from codemix.data.order.row_schedule import apportion, rows_of_each
from codemix.data.order.targets import Segment
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from codemix.planner.stages import planned_stages
from codemix.studies.planning import StudyPlan, plan_study
from codemix.training.stage import StagePlan
from tests.studies.starts import write_without_arrays

GOLDEN = Path(__file__).parent / 'golden' / 'plans.txt'
GIN = config.gin_directory()
RECIPES = sorted(path.name for path in (GIN / 'recipes').glob('*.gin') if path.name != 'arms.gin')
# The whole paper is last: it has the stages of the others.
STUDIES = sorted((path.name for path in (GIN / 'studies').glob('*.gin')), key=lambda name: (name == 'paper.gin', name))
FILES = [*(f'recipes/{name}' for name in RECIPES), *(f'studies/{name}' for name in STUDIES)]
STARTED = ('recipes/from_checkpoint.gin', 'recipes/cogs.gin', 'recipes/instruction_tuning.gin')
SCALES = ('quickstart', '30m', '125m', '470m', '1b3', '2b8')
PAPER = ('470m', '1b3', '2b8')

# Tokens of each source: the paper's (arXiv:2408.10914, section 2.1), divided as its tables of languages. Of what is
# adjacent to code it gives the sum. Of the sets of the cooldowns: that of OpenWebMath's card; estimates of the others.
ADJACENT = ('commits', 'notebooks', 'slimpajama_stackexchange')
POOLS = {
  'slimpajama_text': 503e9,
  **{f'code_{name.replace("-", "_")}': 139e9 * float(share) / 99.99 for name, share in CODE_DOCUMENTS.items()},
  **{f'markup_{name.replace("-", "_")}': 180e9 * float(share) / 99.99 for name, share in MARKUP_DOCUMENTS.items()},
  **dict.fromkeys(ADJACENT, 21.4e9 / 3),
  'issues': 54e9 / 3.53,  # bytes of its card over bytes a token of docs/study_data.md
  'synthetic': 3.2e9,
  'open_web_math': 14.7e9,
  'open_orca': 1.7e9,
  'dolly': 3.4e6,
}
LOCAL = {'local_text': 2.4e6, 'local_code': 6e6, 'cogs': 3e6, 'dolly_answers': 3.4e6}
LOCAL |= {'web_text': 7e5, 'novels': 8e6, 'speeches': 9e5, 'java': 9e5, 'python_library': 3e6}  # sources/small_corpora.gin
# Kinds of one corpus: as much as the paper's code. Of its Python alone, an arm of the paper's length reads more than there is.
KINDS = dict.fromkeys(
  ['python', *(f'python_{kind}' for kind in ('lines_shuffled', 'tokens_shuffled', 'names_numbered', 'names_swapped', 'without_comments', 'only_comments', 'indented'))],
  139e9,
)


class StatedSizes:
  """Stands for `Data`: stores that say how large they are."""

  streaming = False
  matched = ()
  root = Path(os.devnull)  # nothing is kept
  kinds: Mapping[str, str] = MappingProxyType({})
  tokenizer = 'bytes'

  def kind(self, name):
    return None

  def load_tokenizer(self):
    return load_tokenizer('bytes')

  def open_store(self, name, split, tokenizer):
    tokens = int({**POOLS, **LOCAL, **KINDS}[name])
    return types.SimpleNamespace(tokens=tokens, documents=tokens // 1000, digest=name, has_prompts=False, loss_tokens=tokens)


def stated_counts(source: PreparedSource, before: Cursor, after: Cursor, seed: int) -> dict:
  """Documents and unique rows are counted row by row, of which there are millions here."""
  return {'source_rows': len(source), 'epochs': (after.drawn - before.drawn) / len(source), 'epochs_cumulative': after.drawn / len(source)}


def stated_rows(segments: Sequence[Segment], orders: Path | None = None) -> list[int]:
  """The rows of each source where shares change: laid out row by row they take half a minute a stage."""
  if len(segments) == 1:
    return rows_of_each(segments, orders)
  drawn = [sum(part.rows * (part.begin[source] + part.end[source]) / 2 for part in segments) for source in range(len(segments[0].begin))]
  rows = sum(part.rows for part in segments)
  return list(apportion({str(source): Fraction(count, rows) for source, count in enumerate(drawn)}, rows).values())


def planned(*files: str, bindings: tuple[str, ...] = ()) -> StudyPlan:
  """The plan of some gin files."""
  config.parse(list(files), list(bindings))
  if config.is_bound('Study', 'recipes'):
    study = config.build('Study')
  else:
    study = config.build('Study', name='recipe', recipes={'recipe': config.build('Recipe')})
  counted = mock.patch.object(PreparedSource, 'counts', stated_counts), mock.patch.object(PreparedSource, 'documents_drawn', lambda *_: None)
  with counted[0], counted[1], mock.patch.object(source_use, 'rows_of_each', stated_rows):
    return plan_study(study, StatedSizes())


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
  return tempfile.TemporaryDirectory()


@functools.cache
def start_at(scale: str) -> Path:
  """An imported model of a scale's shape."""
  config.parse([f'scales/{scale}.gin', 'stages/study.gin'], ["TEXT = {'local_text': 1.0}", 'Recipe.stages = [@text/Stage()]'])
  recipe = config.build('Recipe')
  folder = Path(_folder().name) / f'public_{scale}'
  write_without_arrays(folder, recipe.model, recipe.length, load_tokenizer('bytes'))
  return folder


def at_scale(file: str, scale: str, *files: str, bindings: tuple[str, ...] = ()) -> StudyPlan:
  """A file's plan at a scale: with local data at the quickstart's, else with the paper's."""
  if file in STARTED:
    bindings = (*bindings, f"START = '{start_at(scale)}'")
  if file in ('studies/scale.gin', 'studies/paper.gin') and scale == '470m':
    scale = '470m_and_2b8'
  sources = () if scale == 'quickstart' else ('sources/study.gin',)
  return planned(file, f'scales/{scale}.gin', *sources, *files, bindings=bindings)


def described(stage: StagePlan) -> Iterator[str]:
  handoff = stage.stage.handoff
  taken = [field for field in ('weights', 'optimizer', 'step', 'rate') if getattr(handoff, field) == 'continue']
  yield (
    f'    {stage.stage.name}: {stage.steps:,} steps of {stage.stage.batch} x {stage.length:,} = {stage.tokens:,} tokens '
    f'({stage.remainder_tokens:+,.0f} of the budget left)'
  )
  at = sorted({0, 1, int(stage.rates.argmax()), *(i * (stage.steps - 1) // 4 for i in range(1, 5))})
  yield '      rates ' + ', '.join(f'{stage.rates[i]:.6g} at {i:,}' for i in at)
  yield '      ' + (f'continues {", ".join(taken) or "nothing"}' if stage.before else 'first stage')
  yield f'      {shares(stage.mixture())}'


def shares(mixture: Mixture, depth: int = 2) -> str:
  """A mixture's parts, and theirs; not every language."""
  parts = []
  for part in mixture.parts:
    inner = f' ({shares(part, depth - 1)})' if depth > 1 and len(part.parts) > 1 else ''
    parts.append(f'{part.name} {float(100 * part.weight):.6g}%{inner}')
  return ', '.join(parts)


def golden() -> str:
  """Every file at every scale; of sweeps one seed; a stage that was described is named."""
  lines = []
  for scale in SCALES:
    lines += [f'scales/{scale}.gin', '']
    seen: dict[str, str] = {}
    for file in FILES:
      one_seed = ('Study.seeds = (0,)',) if file.removeprefix('studies/') in ('competitive.gin', 'additive.gin', 'reproduction.gin') else ()
      plan = at_scale(file, scale, bindings=one_seed)
      lines += [f'{file}: {len(plan.recipes)} recipes']
      for name, stages in plan.recipes.items():
        recipe = plan.study.recipes[name]
        lines += [f'  {name}: {recipe.model.parameter_count()["total"]:,} parameters, at most {recipe.max_epochs:g} epochs']
        for stage in stages:
          lines += [f'    {stage.stage.name} {seen[stage.hash]}'] if stage.hash in seen else described(stage)
          seen.setdefault(stage.hash, f'as in {file}, {name}')
      lines += ['']
  return '\n'.join(lines)


def test_what_every_shipped_file_comes_to_at_every_scale_is_what_was_reviewed():
  assert golden() == GOLDEN.read_text()


@pytest.mark.parametrize('scale', PAPER)
@pytest.mark.parametrize('file', FILES)
def test_shipped_files_plan_as_shipped_at_the_papers_scale(file, scale):
  one_seed = ('Study.seeds = (0,)',) if file.removeprefix('studies/') in ('competitive.gin', 'additive.gin', 'reproduction.gin') else ()
  plan = at_scale(file, scale, bindings=one_seed)
  for stage in plan.stages():
    if stage.rates[0] == 0 and stage.stage.name != 'instruct':  # a warm-up of the paper's
      assert stage.rates.argmax() == 1325, stage.stage.name
    assert abs(stage.remainder_tokens) <= stage.tokens / stage.steps / 2


@pytest.mark.parametrize('file', FILES)
def test_what_a_run_will_take_is_planned_for_the_same_stages_without_any_data(file):
  plan = at_scale(file, '470m')
  found = [(stage.steps, stage.tokens) for stage in planned_stages(plan.study)]
  assert sorted(found) == sorted((stage.steps, stage.tokens) for stage in plan.stages())


@pytest.mark.parametrize('kind', ['web_code', 'code', 'code_adjacent', 'code_adjacent_issues', 'code_synthetic', 'code_markup_synthetic'])
@pytest.mark.parametrize('file', ['recipes/code_to_text.gin', 'recipes/balanced_only.gin', 'studies/quickstart.gin', 'studies/proportions.gin'])
def test_every_kind_of_code_goes_into_the_arms_at_the_papers_scale(file, kind):
  at_scale(file, '470m', f'mixtures/{kind}.gin')


def test_cooldowns_with_math_and_instructions_plan_at_the_papers_scale():
  for file in ('studies/cooldown.gin', 'recipes/balanced_to_text_codefree.gin', 'recipes/text_only.gin'):
    plan = at_scale(file, '470m', 'mixtures/cooldown_math_instruct.gin')
    assert {'dolly', 'open_orca', 'open_web_math'} <= {d.source for stage in plan.stages() for d in stage.draws}


def test_only_the_arms_with_synthetic_code_may_pretrain_on_a_source_oftener_than_four_times():
  for file in FILES:
    if file.removeprefix('studies/') in ('competitive.gin', 'additive.gin') or file == 'recipes/cogs.gin':
      continue
    plan = at_scale(file, '470m')
    for name, stages in plan.recipes.items():
      read = {draw.source: draw.epochs_cumulative for stage in stages for draw in stage.draws}
      cap = plan.study.recipes[name].max_epochs
      assert (cap > 4) == (read.get('synthetic', 0) > 4), (file, name)
      assert max(read.values()) <= cap


def test_a_stage_may_be_any_length_at_the_quickstarts_scale():
  for tokens in (1024, 5 * 1024, 1000 * 1024):
    at_scale('recipes/balanced_to_text.gin', 'quickstart', bindings=(f'STAGE_TOKENS = {tokens}',))


@pytest.mark.parametrize('scale', SCALES)
def test_a_warm_up_is_2_78_percent_of_a_stage(scale):
  [first, *_] = at_scale('recipes/balanced_to_text.gin', scale).recipes['balanced_to_text']
  assert int(first.rates.argmax()) == (1325 if scale in PAPER else round(0.0278 * first.steps))


def test_the_larger_model_of_the_scale_study_is_that_of_its_own_files():
  larger = at_scale('studies/scale.gin', '470m').study.recipes
  alone = at_scale('recipes/balanced_to_text.gin', '2b8')
  assert larger['balanced_to_text, larger'].model == alone.study.recipes['balanced_to_text'].model
  plan = at_scale('studies/scale.gin', '470m')
  for one, other in zip(plan.recipes['balanced_to_text, larger'], alone.recipes['balanced_to_text'], strict=False):
    assert one.hash == other.hash


@pytest.mark.parametrize('file', [file for file in FILES if file.startswith('studies/')])
def test_fields_distinguish_the_arms_of_every_study_and_the_share_is_that_of_code(file):
  one_seed = ('Study.seeds = (0,)',) if file.removeprefix('studies/') in ('competitive.gin', 'additive.gin', 'reproduction.gin') else ()
  plan = at_scale(file, 'quickstart', bindings=one_seed)
  described: dict[tuple, str] = {}
  for name, stages in plan.recipes.items():
    fields = {key: value for key, value in plan.study.recipes[name].fields.items() if key != 'arm'}
    assert fields, name
    other = described.setdefault((tuple(sorted(fields.items())), len(stages)), name)
    assert other == name, f'{name} and {other} have the same fields'
    if 'share' in fields:
      which = stages[1] if fields.get('stage') == 'continued' else stages[0]
      code = [part.weight for part in which.mixture().parts if part.name in ('code', 'competitive code')]
      assert float(sum(code)) == pytest.approx(fields['share'], abs=1e-6), name


def test_scale_files_make_recipes_by_themselves():
  for scale in SCALES:
    config.parse(['stages/study.gin', f'scales/{scale}.gin'], ["TEXT = {'local_text': 1.0}", 'Recipe.stages = [@text/Stage()]'])
    recipe = config.build('Recipe')
    assert recipe.model.vocab_size and recipe.optimizer.name == 'adamw'


def test_one_cosine_over_two_stages_plans_at_every_scale():
  shared = (
    'shared/WarmupCosine.peak = %PEAK',
    'shared/WarmupCosine.floor = %FLOOR',
    'shared/WarmupCosine.warmup_steps = %WARMUP_STEPS',
    'shared/WarmupCosine.warmup_fraction = %WARMUP_FRACTION',
    'shared/WarmupCosine.horizon = %DOUBLE_STAGE_TOKENS',
    'balanced/Stage.schedule = @shared/WarmupCosine()',
    'continued/Stage.schedule = None',
    'continued/Stage.handoff = @continue_all/Handoff()',
  )
  for scale in SCALES:
    first, second, _ = at_scale('recipes/balanced_to_text.gin', scale, bindings=shared).recipes['balanced_to_text']
    assert second.rates[0] < first.rates[-1]
    assert second.rates[-1] == pytest.approx(first.rates.max() / 10, rel=1e-3)


def test_markup_is_filtered_as_code_is_unless_a_file_says_otherwise():
  filters = lambda bindings: {
    name: [each.name for each in corpus.filters]
    for name, corpus in _data(bindings).corpora.items() if name in ('code_java', 'markup_html')
  }
  as_shipped = filters([])
  assert as_shipped['code_java'] == as_shipped['markup_html']
  whole = filters(['MARKUP_FILTERS = (@ExactDuplicates(),)'])
  assert len(whole['markup_html']) == 1 and whole['code_java'] == as_shipped['code_java']


def _data(bindings: list[str]):
  config.parse(['recipes/arms.gin', 'sources/study.gin'], bindings)
  return config.build('Data')


def test_an_arm_that_reads_too_much_of_a_source_is_still_refused():
  with pytest.raises(UserError, match='epochs over the run'):
    at_scale('recipes/balanced_to_text.gin', '470m', bindings=('STAGE_TOKENS = 20e12',))


if __name__ == '__main__':
  GOLDEN.write_text(golden())
