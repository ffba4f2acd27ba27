"""Every command line and every Python block of the pages runs, as printed but for what makes it short.

Behind the gin files of a line stands `docs_workspace/short.gin`, which makes models tiny and stages a few
steps long; where the sources are the local ones, `docs_workspace/local.gin` puts a few documents in
their place. The lines of `DRY` are planned on stand-ins for their sources instead, each for a reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix import cli
from codemix.commands.experiment import load_experiment
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.storage import write_text
from codemix.studies.planning import plan_study
from codemix.studies.preparation import splits_read
from tests import tiny_study
from tests.in_process import use_one_device
from tests.report.swarm import fake_swarm
from tests.test_docs import COMMANDS, PAGES, ROOT, Command, blocks, parser_of

SHORT = ROOT / 'tests' / 'docs_workspace'

# What of a line is replaced, and by what. None leaves the word out.
REPLACED = {
  # The TPU compiler is not installed everywhere; .ci/run compiles with it. The mesh is that of 8 devices.
  r'--topology=v\w+:[\dx]+': '--topology=cpu:8',
  r'--slices=2': None,
  # Tokens, processes and shards of a large run.
  r'--gin\.STAGE_TOKENS=\d+': '--gin.STAGE_TOKENS=1024',
  r'--gin\.Data\.workers=\d+': '--gin.Data.workers=2',
  r'--gin\.Data\.shards=\d+': '--gin.Data.shards=2',
  # Two processes: tests/commands/test_process.py runs them.
  r'--(coordinator_address|num_processes|process_id)=.*': None,
}

# Files of gin that make a line one to plan and not to run.
DRY = {
  'slim_star.gin': 'SlimPajama and StarCoderData are terabytes',
  'speed.gin': "SlimPajama's and StarCoderData's files are not here",
  'sources/study.gin': 'the corpora of the paper are terabytes',
  'cluster.gin': 'a Flink cluster',
  'study_cluster.gin': 'a Flink cluster',
}
# Words of a line that is not run, each with a reason.
NOT_RUN = {
  '--gpus_per_node=8': 'a cluster; tests/launch/test_slurm.py submits to a real SLURM, tests/launch/test_engines.py asks the real clients',
  '--image=IMAGE': 'a Kubernetes cluster; tests/launch/test_launches.py keeps what is printed',
  '--zone=us-west4-a': 'Google Cloud; tests/launch/test_tpu_vm.py runs on a stand-in for it, tests/launch/test_engines.py asks the real clients',
  '--gin_file=evaluations/real_sets.gin': 'released evaluation sets are not kept in this project',
  '--gin_file=recipes/instruction_tuning.gin': 'Dolly is not kept in this project; tests/studies/test_instruction_tuning.py runs the file',
  '--gin_file=studies/tuned.gin': 'Dolly is not kept in this project; tests/studies/test_tuned.py runs the file',
  '--gin_file=recipes/cogs.gin': 'COGS is not kept in this project; tests/studies/test_cogs.py runs the file',
  '--folder=gs://YOUR_BUCKET/soak': 'two hours; tests/benchmarks/test_soak.py runs a minute of it',
  '--eval_dir=eval': 'released evaluation sets are not kept in this project; tests/commands/test_evaluate.py runs such lines',
}
# A mesh for more devices than there are here: laid over those that there are.
MESHES = {
  'runtimes/tpu_pod.gin': ['--gin.MeshConfig.fsdp=8'],
  'runtimes/tpu_slices.gin': ['--gin.MeshConfig.fsdp=4'],
}
LOCAL = {'studies/kinds.gin': 'local_kinds.gin'}  # in place of local.gin
OWN_SOURCES = {*DRY, 'my_sources.gin'}
NO_STUDY = {'my_tasks.gin'}  # files of gin that describe no study

SIZES = {
  'attention': {'length': 16, 'rows': 2, 'heads': 2, 'kv_heads': 2, 'head_dim': 8, 'repeats': 1},
  'checkpoint': {'mebibytes': 1, 'arrays': 2, 'repeats': 1},
  'data': {'tokens': 3_000_000, 'batches': 40, 'text_bytes': 1_000_000, 'repeats': 1, 'stage_rows': 300_000},
  'hosts': {'hosts': 2, 'batch': 8, 'length': 256, 'steps': 1, 'tokens': 1_000_000},
  'loop': {'rows': 1, 'length': 16, 'layers': 1, 'width': 32, 'vocabulary': 300, 'steps': 2, 'warm_up': 1, 'turns': 2, 'interval': 2, 'saves': 1},
  'loss': {'vocabulary': 4096, 'tokens': 1024, 'width': 16, 'timed_tokens': 64, 'chunk': 32, 'repeats': 1},
  'matmul': {'side': 64, 'repeats': 1},
  'scoring': {'items': 1, 'length': 256, 'batch': 1, 'turns': 1},
  'start': {'repeats': 1},
  'step': {'rows': 1, 'length': 16, 'repeats': 1},
}
MODEL_FLAGS = ['layers=1', 'width=16', 'ffn_width=32', 'heads=2', 'kv_heads=2', 'head_dim=8', 'vocab_size=512']


def written_files() -> Iterator[tuple[str, str]]:
  """The files that the pages spell out, each in a block that begins with its name."""
  for page in PAGES:
    for block in blocks(page, 'text') + blocks(page, 'python'):
      if name := re.match(r'# (\w+\.(gin|py))\n', block):
        yield name[1], block


@pytest.fixture(scope='module')
def workspace(tmp_path_factory) -> Iterator[Path]:
  """A folder in which whoever reads the pages works: their files, their raw data, and what the first commands leave."""
  folder = tmp_path_factory.mktemp('work')
  for name, block in written_files():
    (folder / name).write_text(block)
  for file in SHORT.iterdir():
    shutil.copy(file, folder)
  shutil.copy(SHORT / 'local.gin', folder / 'YOUR_SOURCES.gin')
  _write_raw_data(folder)
  kept = {name: getattr(jax.config, name) for name in ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')}
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(folder)
    patch.setenv('CODEMIX_DATA_DIR', str(folder / 'runs' / 'data'))
    # What a run prepares in a process of its own comes to the same here, and starts no Python.
    patch.setattr('codemix.studies.preparation.prepare_in_own_process', _prepare_here)
    # Importing PyTorch takes longer than the benchmark; tests/lm_eval compares with it.
    patch.setattr('codemix.benchmarks.scoring.PEER', folder / 'no_peer')
    for words in (
      ['study', '--gin_file=studies/quickstart.gin', '--gin_file=runtimes/cpu.gin'],
      ['train', '--gin_file=recipes/balanced_to_text.gin'],
      ['contamination', '--gin_file=recipes/balanced_to_text.gin'],
      ['contamination', '--gin_file=studies/quickstart.gin'],
    ):
      assert run(shortened(words)) == 0
    yield folder
  for name, value in kept.items():
    jax.config.update(name, value)


def _prepare_here(study, data, gin_arguments, warnings) -> None:
  from codemix.studies.preparation import prepare_study

  prepare_study(study, data, lambda line: None)


def _write_raw_data(folder: Path) -> None:
  """Raw files in the forms and under the names that the pages use."""
  import pyarrow
  import pyarrow.parquet

  texts = {name: [text.decode() for text in tiny_study.documents(name, 40, 60, 0)] for name in ('text', 'code')}
  lines = {name: [json.dumps({'text': text}) + '\n' for text in found] for name, found in texts.items()}
  for name, found in lines.items():
    write_text(folder / 'short' / f'{name}-train.jsonl', ''.join(found[:48]))
    write_text(folder / 'short' / f'{name}-validation.jsonl', ''.join(found[48:]))
  (folder / 'raw' / 'web').mkdir(parents=True)
  (folder / 'raw' / 'web' / 'train-0.jsonl.gz').write_bytes(gzip.compress(''.join(lines['text'][:48]).encode()))
  write_text(folder / 'raw' / 'web' / 'held_out.jsonl', ''.join(lines['text'][48:]))
  (folder / 'raw' / 'stack' / 'python').mkdir(parents=True)
  code = [f'def f{n}():\n  {text}\n' for n, text in enumerate(texts['code'] * 4)]
  table = pyarrow.table({'content': code, 'max_stars_repo_path': [f'a/{n}.py' for n in range(len(code))]})
  pyarrow.parquet.write_table(table, folder / 'raw' / 'stack' / 'python' / '0.parquet')
  problem = {'task_id': 'HumanEval/0', 'prompt': 'def f(x):\n', 'canonical_solution': '  return x\n', 'test': 'assert f(1)', 'entry_point': 'f'}
  (folder / 'HumanEval.jsonl.gz').write_bytes(gzip.compress((json.dumps(problem) + '\n').encode()))
  countries = [{'country': 'France', 'options': ['Paris', 'Rome'], 'answer': 'Paris'}, {'country': 'Italy', 'options': ['Paris', 'Rome'], 'answer': 'Rome'}]
  write_text(folder / 'capitals.jsonl', '\n'.join(map(json.dumps, countries)))
  _write_swarms(folder)
  write_text(folder / 'test.jsonl', json.dumps({'question': 'How many stones are 2 and 3?', 'answer': '5 #### 5'}) + '\n')


def _write_swarms(folder: Path) -> None:
  """Files by the names of Olmix's, and of any reader's."""
  shares, figures = fake_swarm.tables(runs=40)
  for prefix, of in (('', shares), ('full_recomputation_', shares), ('dclm_', shares.rename(columns={'wiki': 'software_development'}))):
    for name, table in (('ratios', of), ('metrics', figures)):
      table.to_csv(folder / f'{prefix}{name}.csv{".gz" if prefix else ""}')


def run(words: list[str]) -> int:
  """Runs a command; what it says is shown where the test fails."""
  with contextlib.redirect_stdout(io.StringIO()) as out:
    code = cli.main(words)
  print(out.getvalue()[-3000:])
  return code


def shortened(words: list[str]) -> list[str]:
  """A line of a page with what makes it short behind it."""
  verb, *rest = words
  for pattern, by in REPLACED.items():
    rest = [by if re.fullmatch(pattern, word) else word for word in rest]
    rest = [word for word in rest if word is not None]
  rest = [_with_real_hash(word) for word in rest]
  files = {word.partition('=')[2] for word in rest if word.startswith('--gin_file=')}
  if verb == 'bench':
    return [verb, *rest, *_small(rest[0], bool(files))]
  if '--model' in rest:
    return [verb, *rest]
  if files - NO_STUDY:
    rest += [f'--gin_file={name}' for name in ([] if files & OWN_SOURCES else [_local(files)]) + ['short.gin']]
    rest += [flag for name in files for flag in MESHES.get(name, [])]
  return [verb, *rest]


def _local(files: set[str]) -> str:
  """The file that puts a few documents in the place of the local sources."""
  return next((LOCAL[name] for name in files if name in LOCAL), 'local.gin')


def _small(benchmark: str, has_model: bool) -> list[str]:
  sizes = [f'--size={name}={number}' for name, number in SIZES[benchmark].items()]
  return sizes + [f'--gin.ModelConfig.{flag}' for flag in MODEL_FLAGS if has_model]


def _with_real_hash(word: str) -> str:
  """`runs/stages/cooldown-0123456789ab`, whose hash stands for that of the reader's own run, in quotes or not."""
  flag, equals, path = word.rpartition('=')
  quote = "'" if path.startswith("'") else ''
  if not (path := path.strip("'")).endswith('-0123456789ab'):
    return word
  found = sorted(Path().glob(path.removesuffix('0123456789ab') + '*'))
  assert found, f'{path} stands for no folder that the commands before it leave'
  return f'{flag}{equals}{quote}{found[0]}{quote}'


def _key(command: Command) -> tuple:
  """Lines that come to the same when they are shortened are run once."""
  verb, *rest = command.words
  if verb == 'bench':  # of any size, and of any model
    return verb, rest[0], any(word.startswith('--gin_file=') for word in rest)
  return command.words


DISTINCT = {_key(command): command for command in reversed(COMMANDS) if not command.words[0].startswith('--')}
LINES = list(reversed(DISTINCT.values()))


def dry(words: tuple[str, ...]) -> str | None:
  """Why a line is planned and not run; None where it is run."""
  return next((why for name, why in DRY.items() if f'--gin_file={name}' in words), None)


def is_run(command: Command) -> bool:
  return not dry(command.words) and not NOT_RUN.keys() & set(command.words)


def marked(command: Command):
  """A line as a parameter of a test: those that train or measure are slow, but for the README's."""
  slow = command.words[0] in ('study', 'train', 'bench') and command.page != 'README.md'
  return pytest.param(command, marks=[pytest.mark.slow] * slow)


@pytest.mark.parametrize('command', [marked(c) for c in LINES if is_run(c)], ids=str)
def test_every_command_of_the_pages_runs(command, workspace):
  assert run(shortened(list(command.words))) == 0


@pytest.mark.parametrize('command', [c for c in LINES if dry(c.words)], ids=str)
def test_what_cannot_be_run_here_is_planned_on_stand_ins(command, workspace):
  """Every stage, source, share and rate of it, of sources that hold made-up tokens."""
  verb, *rest = shortened(list(command.words))
  experiment = load_experiment(parser_of(verb).parse_args(rest))
  data = dataclasses.replace(experiment.data, directory=str(workspace / 'stand_ins'), tokenizer='bytes')
  _write_stand_ins(experiment.study, data)
  plan = plan_study(experiment.study, data)
  assert all(p.steps > 0 and sum(draw.rows for draw in p.draws) == p.steps * p.stage.batch for p in plan.stages())


def _write_stand_ins(study, data) -> None:
  tokenizer = load_tokenizer('bytes')
  rows = [(np.append(tokenizer.encode(text), tokenizer.eos_id), len(text)) for text in tiny_study.documents('text', 40, 400, 0)]
  for source, split in splits_read(study, data):
    if not data.is_prepared(source, split, tokenizer):
      tiny_study.write_store(data, source, split, rows)


PROGRAMS = [(page, block) for page in PAGES for block in blocks(page, 'python')]


@pytest.mark.parametrize(('page', 'block'), PROGRAMS, ids=lambda value: getattr(value, 'name', None))
def test_every_python_block_of_the_pages_runs(page, block, workspace, monkeypatch):
  if 'codemix.sandbox' in block and not shutil.which('bwrap'):
    pytest.skip('no bubblewrap on this machine')
  use_one_device(monkeypatch)
  # The local corpora take a minute to collect.
  monkeypatch.setattr(codemix, 'prepare_study', lambda study, data, progress: _write_stand_ins(study, data), raising=False)
  block = block.replace('layers=2, width=64, ffn_width=128, heads=2, head_dim=32', 'layers=1, width=16, ffn_width=32, heads=2, head_dim=8')
  monkeypatch.setattr(codemix, 'Study', functools.partial(codemix.Study, sample_tokens=4, validation_documents=8), raising=False)
  block = re.sub(r"'([\w/]+-)0123456789ab(/[\w/]+)'", lambda path: repr(_only(f'{path[1]}*{_at_any_step(path[2])}')), block)
  exec(compile(block, str(page), 'exec'), {'__name__': '__main__', **_taken_for_given(block, workspace)})


def _only(pattern: str) -> str:
  """A path of a page in which a hash stands for that of the reader's own run."""
  found = sorted(Path().glob(pattern))
  assert found, f'{pattern} stands for nothing that the commands before it leave'
  return str(found[0])


def _at_any_step(path: str) -> str:
  return re.sub(r'(?<=/checkpoints/)\d+', '*', path)  # stages are shorter here


def _taken_for_given(block: str, workspace: Path) -> dict:
  """What a block that only shows how a call may end takes from the program around it."""
  if 'run_study(study, data, runtime)' not in block:
    return {}
  data = tiny_study.prepare(workspace / 'given')
  return {
    'study': tiny_study.study(short=tiny_study.balanced_to_text(4)),
    'data': data,
    'runtime': tiny_study.runtime(workspace / 'given' / 'out'),
  }


def test_every_verb_is_run():
  assert {c.words[0] for c in LINES if not dry(c.words)} == set(cli.VERBS)


def test_no_reason_to_plan_a_line_is_left_over():
  assert all(any(f'--gin_file={name}' in c.words for c in LINES) for name in DRY)
  assert all(any(word in c.words for c in LINES) for word in NOT_RUN)
