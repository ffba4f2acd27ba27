"""Whatever the encoding of the terminal or file that a command writes to, it writes, and what it says can be read."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codemix import cli
from codemix.data.settings import Data
from codemix.data.tokenization.tokenizer import load_tokenizer
from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.faults import runs

TEXT = 'naïve → 日本 😀 \x1b[31m █'  # with what would colour a terminal


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  """A finished run in a folder whose name is not ASCII, on documents that are not, with a recipe that is not."""
  root = tmp_path_factory.mktemp('größe')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  _write_texts(data)
  described = GIN + "\nRecipe.description = 'façade → 日本'\nStudy.prompts = ('é',)\nStudy.sample_tokens = 4\n"
  (root / 'recipe.gin').write_text(described, encoding='utf-8')
  assert cli.main(['train', *words(root)]) == 0
  return root


def _write_texts(data: Data) -> None:
  tokenizer = load_tokenizer('bytes')
  rows = [(np.append(tokenizer.encode(TEXT), tokenizer.eos_id), len(TEXT.encode())) for _ in range(100)]
  for split in ('train', 'validation'):
    tiny_study.write_store(data, 'text', split, rows)


def words(root: Path) -> tuple[str, ...]:
  data, output = f"--gin.Data.directory='{root / 'data'}'", f"--gin.Runtime.output='{root / 'out'}'"
  return f'--gin_file={root / "recipe.gin"}', data, output


VERBS = {
  'the help': lambda root: ['--help'],
  'a plan': lambda root: ['inspect', *words(root)],
  'a plan as JSON': lambda root: ['inspect', *words(root), '--format=json'],
  'a store': lambda root: ['inspect', str(root / 'data' / 'stores' / 'text-train-test')],
  'a store as JSON': lambda root: ['inspect', str(root / 'data' / 'stores' / 'text-train-test'), '--format=json'],
  'the rows of a step': lambda root: ['inspect', *words(root), '--stage=first', '--step=1'],
  'a passage': lambda root: ['inspect', *words(root), '--find=日本'],
  'times': lambda root: ['inspect', *words(root), '--time'],
  'ledgers': lambda root: ['inspect', *words(root), '--check'],
  'a model': lambda root: ['inspect', *words(root), '--model'],
  'stores': lambda root: ['verify', str(root / 'data')],
  'scores': lambda root: ['evaluate', *words(root)],
  'scores as JSON': lambda root: ['evaluate', *words(root), '--format=json'],
  'a report': lambda root: ['report', f'--output={root / "out"}'],
  'a text': lambda root: ['generate', f'--stage={root / "out" / "first"}', '--prompt=日本', '--max_new_tokens=4'],
  'a tokenizer': lambda root: ['tokenizer', 'describe', *words(root)],
  'a forecast': lambda root: ['plan', *words(root), '--topology=cpu:8'],
  'a run': lambda root: ['train', *words(root)],
  'a refusal': lambda root: ['inspect', *words(root), '--stage=日本', '--step=1'],
}


def written(argv: list[str], encoding: str) -> tuple[int, str, str]:
  """The exit code, and what is on stdout and stderr of this encoding."""
  streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors='strict') for _ in range(2)]
  with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
    code = cli.main(argv)
  for stream in streams:
    stream.flush()
  return code, *(codecs.decode(stream.buffer.getvalue(), encoding) for stream in streams)


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'cp1252', 'shift_jis'])
@pytest.mark.parametrize('verb', VERBS)
def test_no_verb_fails_for_an_encoding(verb, encoding, root):
  argv = VERBS[verb](root)
  expected = 2 if verb == 'a refusal' else 0
  code, out, err = written(argv, encoding)
  assert code == expected, err
  if '--format=json' in argv:
    assert json.loads(out) == json.loads(written(argv, 'utf-8')[1])


def test_what_cannot_be_encoded_is_written_so_that_it_can_be_read_back(root):
  argv = VERBS['a passage'](root)
  _, out, _ = written(['inspect', str(root / 'data' / 'stores' / 'text-train-test')], 'ascii')
  assert r'na\xefve \u65e5\u672c \U0001f600'.replace(' ', '') in out.replace(' ', '').replace('>', '')
  assert '#' * 10 in out  # bars are bars
  assert written(argv, 'ascii') == written(argv, 'utf-8')  # nothing in it that ASCII lacks


def test_half_a_character_of_the_command_line_is_written_in_utf_8_too(root):
  code, _, err = written(['inspect', *words(root), '--stage=\udcff', '--step=1'], 'utf-8')
  assert code == 2 and r"no stage is named '\udcff'" in err


def test_an_escape_sequence_of_a_document_is_shown_and_not_sent_to_the_terminal(root):
  for verb in ('a store', 'the rows of a step'):
    _, out, _ = written(VERBS[verb](root), 'utf-8')
    assert '\x1b' not in out
  assert r'\x1b[31m' in out


@pytest.mark.parametrize(
  'environment',
  [
    {'PYTHONIOENCODING': 'ascii'},
    {'PYTHONIOENCODING': 'latin-1:strict'},
    {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0'},
  ],
  ids=lambda environment: next(iter(environment)),
)
def test_the_process_writes_to_a_file_of_the_encoding_that_its_environment_says(environment, root, tmp_path):
  command = [sys.executable, '-m', 'codemix', 'inspect', str(root / 'data' / 'stores' / 'text-train-test')]
  with open(tmp_path / 'out', 'wb') as file:
    env = {**runs.environment(), **environment}
    ran = subprocess.run(command, cwd=runs.ROOT, env=env, stdout=file, stderr=subprocess.PIPE, timeout=120, check=False)
  assert (ran.returncode, ran.stderr) == (0, b'')
  encoding = environment.get('PYTHONIOENCODING', 'ascii').partition(':')[0]
  assert '100 documents' in (tmp_path / 'out').read_text(encoding=encoding)
  assert os.path.getsize(tmp_path / 'out')
