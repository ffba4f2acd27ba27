"""A mistyped bucket, and a bucket where a disk is needed, are one line that names it, with exit code 2."""

from __future__ import annotations

import pytest

from codemix import cli
from codemix.evaluation.tasks.completions_file import (
  completions_digest,
  read_completions,
  write_prompts,
)
from codemix.identity import file_digest
from codemix.storage import as_path, write_text
from tests.commands.test_wrong_input import GIN

MISSING = 'gs://no-such-bucket/x'
VERBS = {
  'prepare': ('prepare', "--gin.Data.directory='BUCKET'"),
  'train': ('train', "--gin.Data.directory='BUCKET'"),
  'the output of train': ('train', "--gin.Runtime.output='BUCKET'"),
  'the start of train': ('prepare', "--gin.Recipe.start='BUCKET'"),
  'study --status': ('study', '--status', "--gin.Runtime.output='BUCKET'"),
  'verify of a study': ('verify', "--gin.Data.directory='BUCKET'"),
  'contamination': ('contamination', '--items=a=a.jsonl', "--gin.Data.directory='BUCKET'"),
}
FOLDERS = {
  'verify': ('verify', 'BUCKET'),
  'inspect': ('inspect', 'BUCKET'),
  'export': ('export', 'BUCKET', 'out'),
  'generate': ('generate', '--stage=BUCKET', '--prompt=x'),
  'report': ('report', '--output=BUCKET'),
  'report --from': ('report', '--from=BUCKET/a.csv,BUCKET/b.csv'),
  'bench': ('bench', 'data', '--folder=BUCKET'),
  'study --status': ('study', '--status=BUCKET'),
}
ON_A_DISK = {
  '--eval_dir': ('evaluate', '--tasks=list', '--eval_dir=BUCKET'),
  'Evaluation.directory': ('evaluate', '--tasks=piqa', '--eval_dir=BUCKET', '--show_prompts=1'),
  'HF_FOLDER': ('import', 'BUCKET', 'out'),
  '--verify_with': ('export', 'stage', 'out', '--verify_with=BUCKET'),
  'a gin file': ('prepare', '--gin_file=BUCKET'),
  '--gin_search_paths': ('prepare', '--gin_file=a.gin', '--gin_search_paths=BUCKET'),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """The working folder; nothing is written into it."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.delenv('CODEMIX_EVAL_DIR', raising=False)
  monkeypatch.setenv('CODEMIX_DATA_DIR', str(tmp_path / 'data'))
  yield tmp_path
  assert not list(tmp_path.glob('gs*'))


def last_line(words: tuple[str, ...], bucket: str, capsys) -> str:
  assert cli.main([word.replace('BUCKET', bucket) for word in words]) == 2
  return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('verb', [pytest.param(verb, marks=pytest.mark.slow) if verb == 'train' else verb for verb in VERBS])
def test_a_mistyped_bucket_in_gin_is_named(bucket, verb, folder, capsys):
  (folder / 'raw.jsonl').write_text('{"text": "the model reads"}\n' * 50)
  corpora = "\nData.sources = {'text': @Corpus(), 'code': @Corpus()}\nCorpus.kind = 'text'\nCorpus.validation_share = 0.1\n"
  (folder / 'tiny.gin').write_text(f"{GIN}{corpora}Corpus.files = {{'train': '{folder}/raw.jsonl'}}")
  assert 'gs://no-such-bucket' in last_line((*VERBS[verb], '--gin_file=tiny.gin'), MISSING, capsys)


@pytest.mark.parametrize('verb', FOLDERS)
def test_a_mistyped_bucket_in_place_of_a_folder_is_named(bucket, verb, capsys):
  assert 'gs://no-such-bucket' in last_line(FOLDERS[verb], MISSING, capsys)


@pytest.mark.parametrize('what', ON_A_DISK)
def test_a_bucket_is_refused_where_a_disk_is_needed(bucket, what, capsys):
  said = last_line(ON_A_DISK[what], f'{bucket}/x', capsys)
  assert what in said and f"is '{bucket}/x', in a bucket: it must be on a disk" in said


def test_the_environments_folder_of_evaluation_sets_must_be_on_a_disk(bucket, monkeypatch, capsys):
  monkeypatch.setenv('CODEMIX_EVAL_DIR', f'{bucket}/x')
  assert 'CODEMIX_EVAL_DIR is ' in last_line(('evaluate', '--tasks=piqa', '--show_prompts=1'), bucket, capsys)


def test_prompts_and_completions_may_lie_in_a_bucket(bucket):
  path = as_path(f'{bucket}/completions.jsonl')
  write_text(path, '{"task": "t", "id": "1", "completion": "x"}\n')
  assert read_completions(str(path), 't', ['1'], ['1']) == [['x']] and completions_digest(str(path)) == file_digest(path)
  assert write_prompts([], as_path(f'{bucket}/prompts.jsonl')) == 0 and (path.parent / 'prompts.jsonl').read_bytes() == b''
