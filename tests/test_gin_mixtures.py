"""The study's mixtures and sources as gin composes them; what they come to is data in tests/golden.

After a change of gin that is meant: `python -m tests.test_gin_mixtures`, and read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

import gin
from codemix import config
from codemix.data import filters
from codemix.data.filters.passes_tests import PassesTests
from codemix.data.languages import CODE_DOCUMENTS, MARKUP_DOCUMENTS
from codemix.data.mixtures.mixture import Mixture
from codemix.data.raw.record import Record

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / 'tests' / 'golden'
STUDY = ('recipes/arms.gin', 'sources/study.gin')
NAMED = (
  'TEXT_ONLY',
  'CODE_ONLY',
  'BALANCED',
  'CONTINUED',
  'COOLDOWN',
  'COOLDOWN_WITHOUT_CODE',
  'SWEEP_0',
  'SWEEP_25',
  'SWEEP_50',
  'SWEEP_75',
  'SWEEP_90',
  'SWEEP_100',
)
KINDS_OF_CODE = ('web_code', 'code', 'code_adjacent', 'code_adjacent_issues', 'code_synthetic', 'code_markup_synthetic')


def mixture_of(name: str, *files: str) -> Mixture:
  """What a macro comes to, as the mixture of a stage."""
  config.parse([*STUDY, *files], [f'probe/Stage.mixture = %{name}', "probe/Stage.name = 'probe'"])
  with gin.config_scope('probe'):
    return config.build('Stage', batch=1, tokens=1.0, schedule=None).mixtures().mean()


def sources() -> dict:
  config.parse(STUDY, [])
  return config.build('Data').corpora


def tree(mixture: Mixture, indent: str = '  ') -> Iterator[str]:
  for part in mixture.parts:
    share = f'{part.weight}' if part.documents is None else f'{float(part.documents):.4%} of the documents'
    yield f'{indent}{part.name}: {share}'
    yield from tree(part, indent + '  ')


def golden_mixtures() -> str:
  lines = []
  for kind in KINDS_OF_CODE:
    lines += [f'CODE of mixtures/{kind}.gin', *tree(mixture_of('CODE', f'mixtures/{kind}.gin')), '']
  for name in NAMED:
    lines += [name, *tree(mixture_of(name)), '']
  for name in ('COOLDOWN', 'COOLDOWN_WITHOUT_CODE'):
    lines += [f'{name} of mixtures/cooldown_math_instruct.gin', *tree(mixture_of(name, 'mixtures/cooldown_math_instruct.gin')), '']
  return '\n'.join(lines)


def golden_sources() -> str:
  lines = []
  for name, each in sources().items():
    lines += [
      name,
      *(f'  {split}: {each.root}/{pattern}' for split, pattern in each.files.items()),
      f'  {each.reader!r}',
      f'  {each.layout!r}',
      *(f'  {filter.name}' for filter in each.filters),
      *([f'  {each.validation_share} set apart'] if each.validation_share else []),
      f'  kind: {each.kind}',
      '',
    ]
  return '\n'.join(lines)


@pytest.mark.parametrize('golden', [golden_mixtures, golden_sources], ids=lambda f: f.__name__)
def test_what_gin_composes_is_what_was_reviewed(golden):
  assert golden() == (GOLDEN / f'{golden.__name__.removeprefix("golden_")}.txt').read_text()


# The rest of what the goldens must hold, so that nobody can renew them into something else.

LONG = {'code_java': 3, 'markup_json': 7}


def tokens_per_document(mixture: Mixture) -> dict[str, Fraction]:
  return {source: Fraction(100 * LONG.get(source, 1)) for source in mixture.drawn()}


def top(name: str, *files: str) -> dict[str, Fraction]:
  """The groups of a mixture, and the fraction of the tokens of each."""
  return {part.name: part.weight for part in mixture_of(name, *files).parts}


@pytest.mark.parametrize(('name', 'code'), [
  ('TEXT_ONLY', 0), ('CODE_ONLY', 1), ('BALANCED', 0.5), ('CONTINUED', 0.1), ('COOLDOWN', 0.2), ('COOLDOWN_WITHOUT_CODE', 0),
  ('SWEEP_0', 0), ('SWEEP_25', 0.25), ('SWEEP_50', 0.5), ('SWEEP_75', 0.75), ('SWEEP_90', 0.9), ('SWEEP_100', 1),
])
def test_the_named_mixtures_have_the_studys_share_of_code(name, code):
  shares = top(name)
  assert shares.get('code', 0) == Fraction(str(code))
  assert shares.get('text', 0) == 1 - Fraction(str(code))


def test_code_is_80_to_20_of_languages_and_formats_in_their_ratio_of_documents():
  mixture = mixture_of('CODE')
  assert [(part.name, part.weight) for part in mixture.parts] == [('web_code', Fraction(4, 5)), ('markup', Fraction(1, 5))]
  for group, prefix, table in zip(mixture.parts, ('code_', 'markup_'), (CODE_DOCUMENTS, MARKUP_DOCUMENTS), strict=True):
    assert {part.name: part.documents * Fraction('99.99') for part in group.parts} == {
      prefix + name.replace('-', '_'): Fraction(percent) for name, percent in table.items()
    }


def test_documents_become_tokens_by_their_length():
  shares = mixture_of('CODE')
  shares = shares.resolve(tokens_per_document(shares)).shares()
  assert sum(shares.values()) == 1
  ratio = shares['code_java'] / shares['code_python']
  assert float(ratio) == pytest.approx(3 * 15.54 / 9.60)


def test_the_arms_of_the_ablation_swap_5_5_5_and_10():
  assert top('CODE', 'mixtures/code_adjacent.gin') == {
    'web_code': Fraction('0.85'), **dict.fromkeys(('commits', 'notebooks', 'stackexchange'), Fraction('0.05'))
  }
  assert top('CODE', 'mixtures/code_adjacent_issues.gin') == {
    'web_code': Fraction('0.85'), **dict.fromkeys(('issues', 'notebooks', 'stackexchange'), Fraction('0.05'))
  }
  assert top('CODE', 'mixtures/code_synthetic.gin') == {'web_code': Fraction('0.9'), 'synthetic': Fraction('0.1')}
  assert top('CODE', 'mixtures/code_markup_synthetic.gin') == {
    'web_code': Fraction('0.7'), 'markup': Fraction('0.2'), 'synthetic': Fraction('0.1')
  }


def test_cooldowns_with_math_and_instructions_keep_their_ratio_without_code():
  file = 'mixtures/cooldown_math_instruct.gin'
  with_code, without = top('COOLDOWN', file), top('COOLDOWN_WITHOUT_CODE', file)
  assert with_code.pop('code') == Fraction(1, 5)
  assert {name: share / (1 - Fraction(1, 5)) for name, share in with_code.items()} == without


def test_another_code_goes_into_every_arm():
  shares = top('BALANCED', 'mixtures/code_synthetic.gin')
  assert shares == {'text': Fraction(1, 2), 'code': Fraction(1, 2)}
  code = mixture_of('BALANCED', 'mixtures/code_synthetic.gin').parts[1]
  assert [part.name for part in code.parts] == ['web_code', 'synthetic']


def test_every_source_that_a_named_mixture_draws_is_a_corpus_of_the_study():
  corpora = sources()
  drawn = {source for name in NAMED for source in mixture_of(name).drawn()}
  for kind in (*KINDS_OF_CODE, 'cooldown_math_instruct'):
    drawn |= set(mixture_of('COOLDOWN', f'mixtures/{kind}.gin').drawn())
  drawn |= set(mixture_of('INSTRUCTIONS').drawn())
  assert drawn == corpora.keys()
  assert len(corpora) == 2 + 25 + 10 + 8


def test_starcoderdata_has_fewer_languages_in_the_same_ratio():
  config.parse([STUDY[0], 'sources/slimpajama.gin', 'sources/stack.gin', 'sources/starcoder.gin'], [])
  data = config.build('Data')
  assert len(data.corpora) == 22 + 7
  assert data.corpora['code_c_sharp'].files == {'train': 'c-sharp/*.parquet'}
  with gin.config_scope('code'):
    mixture = config.build('Stage').mixtures().mean()
  assert mixture.drawn() == list(data.corpora)
  web = mixture.parts[0].parts[0]
  shares = {part.name: part.documents for part in web.parts}
  assert shares['code_java'] / shares['code_python'] == Fraction('15.54') / Fraction('9.60')
  assert sum(shares.values()) == 1


@pytest.mark.parametrize('name', ['proportions', 'competitive', 'additive'])
def test_sweeps_are_studies(name):
  config.parse([f'studies/{name}.gin'], [])
  study = config.build('Study')
  assert len(study.recipes) == {'proportions': 6, 'competitive': 50, 'additive': 55}[name]
  code = [stage.mixtures().mean().shares().get('local_code', 0) for r in study.recipes.values() for stage in r.stages]
  assert sorted({float(share) for share in code}) == {
    'proportions': [0, 0.25, 0.5, 0.75, 0.9, 1],
    'competitive': [i / 10 for i in range(10)],
    'additive': [i / 10 for i in range(6)],
  }[name]


def test_a_schedule_inside_a_stage_is_bound_in_gin():
  config.parse(
    ['recipes/arms.gin'],
    [
      'text/Stage.mixture = @phases/MixtureSchedule()',
      "phases/MixtureSchedule.knots = ((0.0, %BALANCED), (0.5, %CONTINUED), (1.0, %TEXT_ONLY))",
      "phases/MixtureSchedule.interpolation = 'linear'",
    ],
  )
  with gin.config_scope('text'):
    stage = config.build('Stage')
  assert stage.mixtures().mean().shares() == {'local_text': Fraction(33, 40), 'local_code': Fraction(7, 40)}


# Each source of the study reads files of the form in which they are distributed.

WORDS = 'x = 1\n' * 40


@pytest.fixture
def distributed(tmp_path) -> Path:
  """Small files of every form: a few documents each, some of which the filters drop."""
  write_slimpajama(tmp_path / 'SlimPajama-627B')
  for language in (*CODE_DOCUMENTS, *MARKUP_DOCUMENTS):
    rows = [code_row(language, body) for body in ('good', 'good', '0xff', '// GENERATED BY x', 'other')]
    write_parquet(tmp_path / 'the-stack-dedup' / 'data' / language / 'data-00000.parquet', rows)
  cells = [{'cell_type': 'markdown', 'source': ['# Rain']}, {'cell_type': 'code', 'source': 'wet = 1', 'outputs': []}]
  row = {**code_row('x', ''), 'content': json.dumps({'cells': cells, 'metadata': {'kernelspec': {'name': 'python3', 'display_name': 'Python 3'}}, 'nbformat': 4})}
  write_parquet(tmp_path / 'the-stack-dedup' / 'data' / 'jupyter-notebook' / 'data-0.parquet', [row])
  write_parquet(tmp_path / 'the-stack-github-issues' / 'data' / 'train-0.parquet', [{'repo': 'a/b', 'content': '<issue_start>username_0: Is it wet?'}])
  change = {'commit': 'c0', 'message': 'Make it wet', 'old_contents': 'dry\n', 'new_contents': 'wet\n'}
  write_lines(tmp_path / 'commitpack' / 'data' / 'python' / 'data.jsonl', [change | {'lang': 'Python', 'repos': 'a/b', 'new_file': 'rain.py'}])
  problem = {'task_id': 'p/0', 'prompt': 'def f():\n', 'canonical_solution': '  return 1\n', 'language': 'python', 'entry_point': 'f'}
  write_lines(tmp_path / 'verified_code' / 'all.jsonl', [problem | {'test': 'assert f() == 1\n'}])
  write_parquet(tmp_path / 'open-web-math' / 'data' / 'train-0.parquet', [{'text': '1 + 1 = 2', 'url': 'http://a', 'date': ''}])
  write_parquet(tmp_path / 'OpenOrca' / '1M-GPT4-Augmented.parquet', [
    {'id': 'flan.1', 'system_prompt': '', 'question': 'Is rain wet?', 'response': 'Yes.'},
    {'id': 'cot.2', 'system_prompt': 'Be brief.', 'question': 'Is rain dry?', 'response': 'No.'},
  ])
  write_lines(tmp_path / 'databricks-dolly-15k' / 'dolly.jsonl', [{'instruction': 'Say wet', 'context': '', 'response': 'Wet', 'category': 'x'}])
  return tmp_path


def code_row(language: str, body: str) -> dict:
  text = f'// {language} {body}\n{WORDS}'
  return {'content': text, 'max_stars_repo_name': 'a/b', 'max_stars_repo_path': f'src/{body}', 'size': len(text)}


def write_slimpajama(folder: Path) -> None:
  import zstandard

  sets = ('CommonCrawl', 'C4', 'Github', 'Book', 'ArXiv', 'Wikipedia', 'StackExchange')
  rows = [{'text': f'{name} says rain', 'meta': {'redpajama_set_name': f'RedPajama{name}'}} for name in sets]
  for chunk in ('train/chunk1', 'train/chunk2', 'validation/chunk1'):
    path = folder / chunk / 'example_0.jsonl.zst'
    path.parent.mkdir(parents=True)
    lines = '\n'.join(json.dumps(row) for row in rows)
    path.write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))


def write_parquet(path: Path, rows: list[dict]) -> None:
  import pyarrow
  import pyarrow.parquet

  path.parent.mkdir(parents=True, exist_ok=True)
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_lines(path: Path, rows: list[dict]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('\n'.join(json.dumps(row) for row in rows) + '\n')


def kept(corpus) -> list[Record]:
  """What passes the filters that look at a record alone and run nothing, in all splits."""
  records = [r for split in corpus.splits() for piece in corpus.pieces(split) for r in corpus.records(piece, split)]
  assert all(isinstance(record, Record) for record in records), records
  looks = [each for each in corpus.filters if not isinstance(each, PassesTests)]
  return [record for record in records if not any(look.reason(record) for look in looks)]


def test_every_source_reads_what_is_distributed(distributed):
  config.parse(STUDY, [
    f'{root} = "{distributed / folder}"'
    for root, folder in (
      ('SLIMPAJAMA_ROOT', 'SlimPajama-627B'),
      ('STACK_ROOT', 'the-stack-dedup'),
      ('NOTEBOOKS_ROOT', 'the-stack-dedup'),
      ('ISSUES_ROOT', 'the-stack-github-issues'),
      ('COMMITS_ROOT', 'commitpack'),
      ('SYNTHETIC_ROOT', 'verified_code'),
      ('MATH_ROOT', 'open-web-math'),
      ('ORCA_ROOT', 'OpenOrca'),
      ('DOLLY_ROOT', 'databricks-dolly-15k'),
      ('INSTRUCTIONS_ROOT', 'databricks-dolly-15k'),
    )
  ])
  corpora = config.build('Data').corpora
  assert {name for name, each in corpora.items() if filters.ExactDuplicates() not in each.filters[-1:]} == {
    'slimpajama_text', 'slimpajama_stackexchange'  # de-duplicated by those who made it
  }
  records = {name: kept(each) for name, each in corpora.items()}
  text_sets = {f'RedPajama{name}' for name in ('CommonCrawl', 'C4', 'Book', 'ArXiv', 'Wikipedia')}
  assert {record.source for record in records['slimpajama_text']} == text_sets
  assert len(records['slimpajama_text']) == 3 * len(text_sets)  # two chunks of train, one of validation
  assert {record.source for record in records['slimpajama_stackexchange']} == {'RedPajamaStackExchange'}
  for name in (*(f'code_{n}' for n in CODE_DOCUMENTS), *(f'markup_{n}' for n in MARKUP_DOCUMENTS)):
    found = records[name.replace('-', '_')]
    assert sorted(record.id for record in found) == ['src/good', 'src/good', 'src/other']
    assert {(record.source, record.language) for record in found} == {('a/b', name.split('_', 1)[1])}
  [notebook_record] = records['notebooks']
  assert notebook_record.text == '# Rain\n\n```python\nwet = 1\n```'
  [issue_record] = records['issues']
  assert (issue_record.text, issue_record.language) == ('<issue_start>username_0: Is it wet?', 'en')
  [commit_record] = records['commits']
  assert commit_record.text.startswith('Make it wet\n\n') and '\n-dry\n+wet' in commit_record.text
  assert (commit_record.source, commit_record.id) == ('a/b', 'c0')
  [problem] = records['synthetic']
  assert problem.text == 'def f():\n  return 1\n' and 'assert f() == 1' in problem.program
  assert [record.text for record in records['open_web_math']] == ['1 + 1 = 2']
  assert [(record.id, record.text) for record in records['open_orca']] == [
    ('flan.1', 'Is rain wet?\n\nYes.'), ('cot.2', 'Be brief.\n\nIs rain dry?\n\nNo.')
  ]
  assert [record.text for record in records['dolly']] == ['Say wet\n\nWet']
  assert [record.text for record in records['dolly_answers']] == ['Instruction: Say wet\nResponse: Wet']


if __name__ == '__main__':
  GOLDEN.mkdir(exist_ok=True)
  for golden in (golden_mixtures, golden_sources):
    (GOLDEN / f'{golden.__name__.removeprefix("golden_")}.txt').write_text(golden())
