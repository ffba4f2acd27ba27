"""The command as a launcher sees it: a real process, its exit code, and what it writes where."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from codemix import cli
from codemix.errors import StorageUnavailable
from codemix.storage import locked
from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.faults import runs

NOISE = ('Traceback', 'WARNING', 'Warning', 'absl', 'XLA', 'INFO', 'E0000', 'I0000', 'W0000', 'Gloo')


@pytest.fixture(scope='module')
def finished(tmp_path_factory) -> tuple[Path, CompletedProcess]:
  """A folder with data, a recipe and its results, and the process that made them."""
  root = tmp_path_factory.mktemp('finished')
  tiny_study.prepare(root / 'data', bytes_each=6_000)
  (root / 'recipe.gin').write_text(GIN)
  return root, command(root, 'train')


@pytest.fixture
def place(finished, tmp_path) -> Path:
  root, _ = finished
  return Path(shutil.copytree(root, tmp_path / 'place'))


def words(root: Path, *flags: str) -> tuple[str, ...]:
  return (
    f'--gin_file={root / "recipe.gin"}',
    f"--gin.Data.directory='{root / 'data'}'",
    f"--gin.Runtime.output='{root / 'out'}'",
    *flags,
  )


def command(root: Path, verb: str, *flags: str) -> CompletedProcess:
  return runs.finish(runs.start('codemix', verb, *words(root, *flags)))


def in_two_processes(root: Path, *own: tuple[str, ...]) -> list[CompletedProcess]:
  """`codemix train` in two processes; `own`: further flags of each."""
  with socket.create_server(('', 0)) as probe:
    port = probe.getsockname()[1]
  begun = []
  for index, flags in enumerate(own or ((), ())):
    joined = (f'--coordinator_address=localhost:{port}', '--num_processes=2', f'--process_id={index}')
    begun.append(runs.start('codemix', 'train', *words(root, *joined, *flags)))
  return [runs.finish(process) for process in begun]


def under_shell(root: Path, verb: tuple[str, ...], redirections: str) -> CompletedProcess:
  """One process, with redirections of a shell; "$PIPE" is one whose reader has gone."""
  flags = () if verb[-1].startswith('--') else words(root)
  line = shlex.join([sys.executable, '-m', 'codemix', *verb, *flags])
  reader, writer = os.pipe()
  os.close(reader)
  try:
    return subprocess.run(
      ['sh', '-c', f'exec {line} {redirections}'],
      cwd=runs.ROOT,
      env={**runs.environment(), 'PIPE': f'/dev/fd/{writer}'},
      pass_fds=[writer],
      capture_output=True,
      text=True,
      timeout=300,
      check=False,
    )
  finally:
    os.close(writer)


def assert_quiet(ran: CompletedProcess) -> None:
  for noise in NOISE:
    assert noise not in ran.stderr
    assert noise not in ran.stdout


def test_a_run_that_succeeds_writes_only_its_result_to_stdout(finished):
  root, ran = finished
  assert ran.returncode == 0, ran.stderr
  assert ran.stdout.splitlines() == [f'report: {root / "out" / "report.html"}']
  assert_quiet(ran)


def test_of_two_processes_one_writes_the_result_and_nothing_else_is_on_stdout(place):
  shutil.rmtree(place / 'out')
  first, second = in_two_processes(place)
  assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
  assert first.stdout.splitlines() == [f'report: {place / "out" / "report.html"}']
  assert second.stdout == ''
  assert_quiet(first)
  assert_quiet(second)


SOURCES = """
Data.sources = {'text': @text/Corpus(), 'code': @code/Corpus()}
Corpus.reader = @JsonLines()
text/Corpus.files = {'train': 'text.jsonl', 'validation': 'text.jsonl'}
code/Corpus.files = {'train': 'code.jsonl', 'validation': 'code.jsonl'}
"""


def test_two_processes_do_not_prepare_but_name_the_command_that_does(tmp_path):
  (tmp_path / 'recipe.gin').write_text(GIN + SOURCES + f"Corpus.root = '{tmp_path}'\n")
  for name in ('text', 'code'):
    (tmp_path / f'{name}.jsonl').write_text(''.join(f'{{"text": "{name} {number} of the corpus"}}\n' for number in range(900)))
  for ended in in_two_processes(tmp_path):
    assert ended.returncode == 2
    assert 'not prepared: text (train), code (train), text (validation).' in ended.stderr
  prepare = shlex.split(re.search('`codemix (.*?)`', ended.stderr)[1])
  assert runs.finish(runs.start('codemix', *prepare)).returncode == 0
  assert [ended.returncode for ended in in_two_processes(tmp_path)] == [0, 0]
  copy = shutil.copytree(tmp_path / 'data', tmp_path / 'copy')
  shutil.rmtree(next(copy.glob('stores/code-train-*')))
  for ended in in_two_processes(tmp_path, (), (f"--gin.Data.directory='{copy}'",)):
    assert ended.returncode == 2 and 'not prepared: code (train), in process 1.' in ended.stderr


def test_with_closed_standard_streams_a_run_is_the_same_and_no_file_holds_what_was_meant_for_the_terminal(place):
  shutil.rmtree(place / 'out')
  ran = under_shell(place, ('train',), '<&- >&- 2>&-')
  assert ran.returncode == 0
  assert (ran.stdout, ran.stderr) == ('', '')
  files = [path.read_bytes() for path in (place / 'out').rglob('*') if path.is_file()]
  assert files
  assert not any(b'report: ' in data or b'held-out bits per byte after' in data for data in files)


FULL = pytest.mark.skipif(not Path('/dev/full').exists(), reason='/dev/full is a device of Linux')
OUTPUTS = [('inspect',), ('train', '--help'), ('--help',), ('--version',)]


@FULL
@pytest.mark.parametrize('words', OUTPUTS, ids=' '.join)
def test_a_result_that_cannot_be_written_is_one_line(words, place):
  ran = under_shell(place, words, '>/dev/full')
  assert ran.returncode == 2
  speaker = 'codemix' if words[0].startswith('-') else f'codemix {words[0]}'
  assert ran.stderr == f'{speaker}: cannot write its output: No space left on device.\n'


@pytest.mark.parametrize('words', OUTPUTS, ids=' '.join)
def test_a_reader_that_has_gone_is_no_error_to_speak_of(words, place):
  ran = under_shell(place, words, '>"$PIPE"')
  assert (ran.returncode, ran.stderr) == (141, '')


@FULL
def test_another_full_disk_is_not_blamed_on_the_output(monkeypatch, capsys):
  def full(_arguments):
    print('a result')
    with open('/dev/full', 'w') as file:
      file.write('a file of another kind')

  monkeypatch.setattr('codemix.commands.verify.run', full)
  with pytest.raises(OSError, match='No space left'):
    cli.main(['verify', 'folder'])
  assert capsys.readouterr().out == 'a result\n'


@pytest.mark.parametrize('number', [errno.EPIPE, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
def test_an_error_of_a_bucket_is_not_taken_for_one_of_this_machine(monkeypatch, capsys, number):
  """The clients' errors are OSErrors, too."""
  import aiohttp

  key = aiohttp.client_reqrep.ConnectionKey('storage', 443, True, True, None, None, None)

  def away(_arguments):
    raise aiohttp.ClientConnectorError(key, OSError(number, 'Connect call failed'))

  monkeypatch.setattr('codemix.commands.verify.run', away)
  assert cli.main(['verify', 'folder']) == StorageUnavailable.exit_code
  assert 'does not answer' in capsys.readouterr().err


def test_what_a_run_starts_has_standard_streams_too(tmp_path):
  code = """
import subprocess, sys
from codemix.terminal import keep_stdout_for_results
keep_stdout_for_results()
print('\\udcff', file=sys.stderr)  # as a path that is no UTF-8
child = 'import os, sys; open(sys.argv[1], "w").write(" ".join(os.readlink(f"/proc/self/fd/{n}") for n in range(3)))'
subprocess.run([sys.executable, '-c', child, sys.argv[1]], check=True)
"""
  line = shlex.join([sys.executable, '-c', code, str(tmp_path / 'streams')])
  subprocess.run(['sh', '-c', f'exec {line} <&- >&- 2>&-'], cwd=runs.ROOT, check=True)
  assert (tmp_path / 'streams').read_text() == '/dev/null /dev/null /dev/null'


@pytest.mark.parametrize(
  ('flag', 'says'),
  [
    ('--gin.Stage.batsh=8', "Stage has no parameter 'batsh'. Did you mean 'batch'?"),
    ("--gin.first/Stage.mixture={'text': 0.5, 'code': 0.6}", 'sum to 1.1, not 1'),
    ('--gin.frist/Stage.batch=8', "this run builds no 'frist/Stage'. Did you mean 'first/Stage'?"),
  ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(flag, says, place):
  ran = command(place, 'train', flag)
  assert ran.returncode == 2
  [line] = ran.stderr.splitlines()
  assert line.startswith('codemix train: ')
  assert says in line
  assert ran.stdout == ''


@pytest.mark.slow  # TensorFlow is imported
def test_a_source_that_is_no_task_is_found_before_any_is_prepared(place):
  ran = command(place, 'train', *(f"--gin.{stage}/Stage.mixture={{'kode': 1.0}}" for stage in ('first', 'second')), '--gin.Study.validation=()')
  assert ran.returncode == 2
  [line] = ran.stderr.splitlines()
  assert line.startswith("codemix train: no SeqIO task is named 'kode'")
  assert_quiet(ran)


def test_a_loss_that_is_not_finite_is_exit_code_3_with_its_step(place):
  ran = command(place, 'train', '--gin.WarmupCosine.peak=1e30', '--gin.Stage.tokens=2048')
  assert ran.returncode == 3
  last = ran.stderr.splitlines()[-1]
  assert last.startswith("codemix train: stage 'first', step ")
  assert_quiet(ran)


def test_a_stage_that_another_process_trains_is_left_to_it(place):
  [stage] = (place / 'out' / 'stages').glob('second-*')
  (stage / 'done.json').unlink()
  before = (stage / 'metrics.jsonl').read_bytes()
  with locked(stage, 'training'):
    ran = command(place, 'train')
  assert ran.returncode == 2
  assert f'another process is training in {stage}' in ran.stderr.splitlines()[-1]
  assert (stage / 'metrics.jsonl').read_bytes() == before
  assert_quiet(ran)
