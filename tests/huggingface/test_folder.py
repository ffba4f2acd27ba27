"""Exports and imports in a bucket are whole folders there; what must be on a disk is refused."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import codemix
from codemix import cli
from codemix.errors import UserError
from codemix.huggingface.export import export_stage, host_params
from codemix.huggingface.folder import whole_folder
from codemix.huggingface.importing import import_model
from codemix.storage import as_path, whole, write_text
from codemix.studies.verify import verify_stage
from tests.huggingface.stages import config_of, random_params, write_stage


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """A stage on a disk, and what it was exported to there."""
  root, config = tmp_path_factory.mktemp('run'), config_of('cohere', layers=1)
  stage = write_stage(root, config, random_params(config))
  export_stage(stage, root / 'exported')
  return stage, root / 'exported'


def test_an_export_in_a_bucket_has_the_files_of_one_on_a_disk(written, bucket, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  stage, exported = written
  out = as_path(f'{bucket}/exported/a')
  assert cli.main(['export', str(stage), str(out)]) == 0
  assert {path.name: path.read_bytes() for path in out.iterdir()} == {path.name: path.read_bytes() for path in exported.iterdir()}
  assert capsys.readouterr().out.startswith(f'{out}: ') and not list(tmp_path.iterdir())
  assert cli.main(['export', str(stage), str(out)]) == 2
  assert f'{out} exists: name another folder, or write --overwrite' in capsys.readouterr().err
  assert cli.main(['export', str(stage), str(out), '--overwrite', '--without_tokenizer']) == 0
  assert sorted(path.name for path in out.iterdir()) == ['README.md', 'config.json', 'generation_config.json', 'model.safetensors']


def test_an_import_in_a_bucket_is_a_finished_stage(written, bucket, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  stage, exported = written
  out = as_path(f'{bucket}/imported/a')
  assert cli.main(['import', str(exported), str(out)]) == 0
  assert not list(tmp_path.iterdir()) and verify_stage(out)['finished']
  before, after = (host_params(codemix.load_stage(folder)) for folder in (stage, out))
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, after)))


def test_an_upload_that_fails_leaves_nothing_in_the_bucket(bucket, monkeypatch):
  out, puts = as_path(f'{bucket}/failed/a'), []

  def put(local, path, put=whole.put):
    puts.append(path.name)
    if path.name == 'config.json':
      raise UserError('the bucket is away')
    put(local, path)

  monkeypatch.setattr(whole, 'put', put)
  with pytest.raises(UserError, match='the bucket is away'), whole_folder(out, False, 'config.json') as part:
    for name in ('a.bin', 'config.json', 'z.bin'):
      write_text(part / name, name)
  assert puts == ['a.bin', 'z.bin', 'config.json'] and not out.exists()


@pytest.mark.parametrize('verb', ['export', 'import'])
def test_a_bucket_that_does_not_exist_is_found_before_any_work(written, bucket, verb, capsys):
  assert cli.main([verb, str(written[verb == 'import']), 'gs://no-such-bucket/x']) == 2
  assert 'gs://no-such-bucket/x cannot be written: its bucket does not exist' in capsys.readouterr().err


def test_a_model_of_transformers_in_a_bucket_is_refused(bucket, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match='does not exist'):
    import_model(tmp_path / 'none', tmp_path / 'out')
  assert cli.main(['import', f'{bucket}/model', str(tmp_path / 'out')]) == 2
  assert f"HF_FOLDER is '{bucket}/model', in a bucket: it must be on a disk" in capsys.readouterr().err
