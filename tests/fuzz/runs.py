"""Seeds of runs: a trained study with its checkpoints, ledger, metrics and results, and what judges and scans leave."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import codemix
from codemix.checkpoints import Checkpoints
from codemix.checkpoints.seal import sealed_digest
from codemix.contamination.clean import clean_in, read_result
from codemix.evaluation.judge.verdicts import Cache
from codemix.evaluation.results import Results, read_results, record_digest, write_results
from codemix.identity import digest, file_digest
from codemix.report.record import read_record
from codemix.report.results import read_study
from codemix.report.verify import verify_report
from codemix.report.write import write_report
from codemix.storage import write_json
from codemix.studies.claim_register import check_claims, history, register
from codemix.studies.load_stage import load_stage
from codemix.studies.outline import recorded_study
from codemix.studies.start_folder import read_start
from codemix.studies.status import study_status
from codemix.studies.verify import verify_stage
from codemix.training.metrics import JsonLines
from codemix.training.stage_record import read_done, sealed
from tests import tiny_study
from tests.claims import claim_entry
from tests.fuzz.harness import Input
from tests.in_process import one_device_mesh, use_one_device

# A run has other seconds each time, and another number of lines.
TIMES = (
  {'seconds': {'idle': 1.5, 'compile': 2.0}},
  {'from': 0, 'step': 3, 'seconds': {'compile': 4.0, 'step': 0.25, 'data': 0.125, 'save': 0.5}},
  {'seconds': {'evaluation': 3.0}},
)


def inputs(root: Path) -> list[Input]:
  stage = _trained(root)
  study = stage.parents[1]
  return [*_stage(stage), *_checkpoint(stage), *_hostile_checkpoint(stage), *_study(study, stage), *_report(study), *_beside(root / 'beside')]


def _trained(root: Path) -> Path:
  """A finished stage of a study, with checkpoints at two steps."""
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  recipe = tiny_study.recipe(tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, 3))
  study = dataclasses.replace(tiny_study.study(one=recipe), prompts=('the',), validation=('text',))
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(study, data, tiny_study.runtime(root / 'runs', save_every=2, keep=None))
  [stage] = (root / 'runs' / 'stages').iterdir()
  (stage / 'time.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in TIMES))
  return stage


def _stage(stage: Path) -> list[Input]:
  """What a stage writes beside its checkpoints; digests cover all but the stage's description."""

  def read() -> object:
    found = load_stage(stage)
    # The name is a label, which no hash covers.
    return {**verify_stage(stage), 'name': ''}, dataclasses.replace(found, tokenizer=None, name='')

  def start() -> object:
    begun = read_start(str(stage))
    return begun.identity, begun.checkpoint, begun.last_step

  whole = [Input(name, stage / name, 'json', read, sealed=True) for name in ('stage.json', 'done.json', 'ledger.json')]
  starts = [Input(f'start from {name}', stage / name, 'json', start) for name in ('stage.json', 'done.json', 'ledger.json', 'plan.json')]
  identity = lambda: _reseal_identity(stage)
  hostile = Input('hostile stage.json', stage / 'stage.json', 'json', lambda: (load_stage(stage).config, load_stage(stage).optimizer, start()), reseal=identity)
  metrics = stage / 'metrics.jsonl'

  def cut_back() -> object:
    whole = metrics.read_bytes()
    try:
      JsonLines(metrics, after_step=2).close()
      return metrics.read_bytes()
    finally:
      metrics.write_bytes(whole)  # other inputs compare it with the ledger

  ledger = Input('hostile ledger.json', stage / 'ledger.json', 'json', lambda: (start(), verify_stage(stage)), reseal=lambda: _reseal_ledger(stage), also=[stage / 'done.json'])
  return [*whole, *starts, hostile, ledger, Input('metrics.jsonl', metrics, 'lines', cut_back)]


def _reseal_identity(stage: Path) -> None:
  path = stage / 'stage.json'
  value = json.loads(path.read_text())
  if isinstance(value, dict) and isinstance(value.get('identity'), dict):
    value['hash'] = digest(value['identity'])
    path.write_text(json.dumps(value))


def _reseal_ledger(stage: Path) -> None:
  path, done = stage / 'ledger.json', stage / 'done.json'
  value = json.loads(path.read_text())
  if isinstance(value, dict):
    value['hash'] = digest({key: inner for key, inner in value.items() if key != 'hash'})
    path.write_text(json.dumps(value))
    done.write_text(json.dumps(sealed({**json.loads(done.read_text()), 'ledger': value['hash']})))


def _checkpoint(stage: Path) -> list[Input]:
  last = read_done(stage)['step']
  folder = stage / 'checkpoints'

  def read() -> object:
    verify_stage(stage)
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
      checkpoints.require(last, read_done(stage)['checkpoint'])
    return last

  files = sorted(path for path in (folder / str(last)).rglob('*') if path.is_file() and path.stat().st_size)
  kinds = {_kind(path): path for path in files}
  return [
    Input('checkpoint digests', folder / f'{last}.digest.json', 'json', read, sealed=True),
    *(Input(f'checkpoint {kind}', path, 'bytes', read, sealed=True, share=0.3) for kind, path in kinds.items()),
  ]


def _kind(path: Path) -> str:
  """What a file of a checkpoint is: files of one kind differ in a random name."""
  return '/'.join(part for part in (path.parent.parent.name, path.parent.name) if not part.isdigit()) + ('/...' if len(path.name) == 32 else f'/{path.name}')


def _hostile_checkpoint(stage: Path) -> list[Input]:
  """The same files with digests that fit."""
  last = read_done(stage)['step']
  folder, done = stage / 'checkpoints', stage / 'done.json'
  digests = folder / f'{last}.digest.json'

  def read() -> object:
    model = load_stage(stage).model(one_device_mesh())
    params = [np.asarray(leaf) for leaf in _leaves(model.params)]
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
      return params, checkpoints.restore_position(last)

  def reseal() -> None:
    # As in a save, but for the count of chunks, which is made before what is sealed can be hostile.
    write_json(digests, _digests(folder / str(last)))
    write_json(done, sealed({**json.loads(done.read_text()), 'checkpoint': sealed_digest(folder, last)}))

  files = sorted(path for path in (folder / str(last)).rglob('*') if path.is_file() and path.stat().st_size)
  kinds = {_kind(path): path for path in files}
  forms = lambda path: 'json' if path.read_bytes()[:1] == b'{' else 'bytes'
  return [Input(f'hostile checkpoint {kind}', path, forms(path), read, reseal=reseal, also=[digests, done], share=0.1) for kind, path in kinds.items()]


def _digests(checkpoint: Path) -> dict[str, list]:
  files = sorted(path for path in checkpoint.rglob('*') if path.is_file())
  return {str(path.relative_to(checkpoint)): [path.stat().st_size, file_digest(path)] for path in files}


def _leaves(tree: object) -> list:
  import jax

  return jax.tree.leaves(tree)


def _study(study: Path, stage: Path) -> list[Input]:
  """What the report reads."""

  def read() -> object:
    found = read_study(study)
    return [dataclasses.replace(one, results={}, steps={}) for one in found.stages.values()], found.recipes, found.baseline

  held_out = stage / 'evaluation' / 'held_out' / 'text'
  names = ('plan.json', 'stage.json', 'ledger.json', 'metrics.jsonl', 'timing.jsonl', 'time.jsonl', 'rate.csv', 'evaluation/samples.json')
  forms = {'.json': 'json', '.jsonl': 'lines', '.csv': 'bytes'}
  # A sequence, and nested lists, as the completions of a task are.
  items = {'id': ['a', 'b'], 'completions': [['x', 'y'], ['z']], 'score': np.array([0.5, 1.0])}
  write_results(stage, 'task/tiny', 3, {'checkpoint': 'x'}, Results({'accuracy': 0.75}, items))
  task = stage / 'evaluation' / 'task' / 'tiny'
  stored = lambda: {name: (found.scores, found.identity, found.samples, found.items()) for name, found in read_results(stage).items()}

  def reseal() -> None:
    path = task.with_suffix('.json')
    value = {**json.loads(path.read_text()), 'items': file_digest(task.with_suffix('.parquet'))}
    path.write_text(json.dumps({**value, 'digest': record_digest(value)}))

  failure = study / 'failed' / 'train' / f'{stage.name}.json'
  write_json(failure, {'unit': f'train/{stage.name}', 'error': 'a loss is not finite', 'exit_code': 3, 'when': '2026-11-29T12:00:00+00:00'})

  def status() -> object:
    recorded = recorded_study(study)
    return study_status(study, recorded.stages, recorded.evaluators, {})

  return [
    Input('study.json', study / 'study.json', 'json', read),
    Input('status of study.json', study / 'study.json', 'json', status),
    *(Input(f'status of {name}', stage / name, 'lines', status, share=0.3) for name in ('metrics.jsonl', 'timing.jsonl', 'time.jsonl')),
    Input('failed unit', failure, 'json', status),
    *(Input(f'report of {name}', stage / name, forms[Path(name).suffix], read) for name in names),
    Input('hostile samples', stage / names[-1], 'json', read, reseal=lambda: _reseal_results(stage / names[-1])),
    Input('hostile held-out results', held_out.with_suffix('.json'), 'json', read, reseal=lambda: _reseal_results(held_out.with_suffix('.json'))),
    Input('hostile task results', task.with_suffix('.json'), 'json', stored, reseal=lambda: _reseal_results(task.with_suffix('.json'))),
    *_claims(study),
    Input('held-out results', held_out.with_suffix('.json'), 'json', read, sealed=True),
    Input('held-out documents', held_out.with_suffix('.parquet'), 'bytes', read, sealed=True),
    Input('task results', task.with_suffix('.json'), 'json', stored, sealed=True),
    Input('task completions', task.with_suffix('.parquet'), 'bytes', stored, sealed=True),
    Input('hostile task completions', task.with_suffix('.parquet'), 'parquet', stored, reseal=reseal, also=[task.with_suffix('.json')]),
  ]


def _reseal_results(path: Path) -> None:
  value = json.loads(path.read_text())
  if isinstance(value, dict):
    path.write_text(json.dumps({**value, 'digest': record_digest(value)}))


def _claims(study: Path) -> list[Input]:
  """Claims of the study, registered twice."""
  record = json.loads((study / 'study.json').read_text())
  name = record['name']
  first, second = claim_entry('first', 0.0), claim_entry('second', 0.5)
  register(study, name, {'first': first})
  write_json(study / 'study.json', {**record, 'claims': register(study, name, {'first': first, 'second': second})})
  path = study / 'claims.json'

  def read() -> object:
    return history(check_claims(study), name)

  def reseal() -> None:
    value, before = json.loads(path.read_text()), None
    with contextlib.suppress(AttributeError, KeyError, TypeError):
      for entry in value['registrations']:
        for claim in entry['claims'].values():
          claim['hash'] = digest(claim['claim'])
        entry['before'] = before
        before = entry['digest'] = digest({key: inner for key, inner in entry.items() if key != 'digest'})
    path.write_text(json.dumps(value))

  return [Input('claims.json', path, 'json', read, sealed=True), Input('hostile claims.json', path, 'json', read, reseal=reseal)]


def _report(study: Path) -> list[Input]:
  """What says from which files a report was computed; last, since it holds the digests of all that was written above."""
  write_report(study)
  path = study / 'report.json'

  def read() -> object:
    found = verify_report(study)
    return found.findings, found.units, found.files, found.values

  def reseal() -> None:
    value = json.loads(path.read_text())
    if isinstance(value, dict):
      with contextlib.suppress(ValueError, TypeError, RecursionError):
        path.write_text(json.dumps({**value, 'digest': digest({key: inner for key, inner in value.items() if key != 'digest'})}))

  return [
    Input('report.json', path, 'json', lambda: read_record(study), sealed=True),
    Input('hostile report.json', path, 'json', read, reseal=reseal, share=0.1),  # each computes the report
  ]


def _beside(root: Path) -> list[Input]:
  """The judge's answers, and a contamination report."""
  root.mkdir()
  answers = Cache(root / 'answers.jsonl')
  for number in range(4):
    answers.put(digest(number), f'They differ.\nPreferred: {"AB"[number % 2]}')
  shares = {'first': {'up to its end': {'(all sources)': 0.5, 'text': 0.25}}}
  scanned = {
    'format': 1, 'settings': {'clean': 0.2}, 'stages': [{'stage': 'first'}],
    'sets': [{'set': 'gsm8k', 'ids': ['1', '2'], 'digest': {'file': digest(0)}}], 'items': [{'set': 'gsm8k', 'id': '1', 'stages': shares}],
  }  # fmt: skip
  path = root / 'contamination.json'
  write_json(path, scanned)
  return [
    Input('judge answers', root / 'answers.jsonl', 'lines', lambda: [Cache(root / 'answers.jsonl').get(digest(number)) for number in range(4)]),
    Input('contamination.json', path, 'json', lambda: clean_in(read_result(path), path, 'gsm8k', 'first')),
  ]


