"""A study that was really run: `codemix verify` computes its report again, pictures and all, and one altered metric fails it."""

from __future__ import annotations

import json

from codemix import cli
from tests.in_process import use_one_device
from tests.studies import two_arms


def test_the_report_of_a_run_is_as_its_units_say_until_one_metric_is_altered(tmp_path, capsys, monkeypatch):
  use_one_device(monkeypatch)
  root = two_arms.write(tmp_path)
  assert cli.main(['study', *two_arms.flags(root, root / 'out')]) == 0
  assert cli.main(['report', f'--output={root / "out"}', '--files']) == 0
  capsys.readouterr()

  assert cli.main(['verify', str(root / 'out'), '--format=json']) == 0
  found = json.loads(capsys.readouterr().out)
  assert [one['kind'] for one in found] == ['stage'] * 3 + ['report']
  assert all(stage['sealed'] for stage in found[:3])
  assert (found[3]['state'], found[3]['units'], found[3]['other_versions']) == ('as its units say', 3, [])
  assert found[3]['files'] == 4 + sum(path.is_file() for path in (root / 'out' / 'report_files').rglob('*'))

  picture = next((root / 'out').glob('report_files/figures/*.csv'))
  drawn = picture.read_text()
  picture.write_text(f'{drawn.rstrip()}1\n')
  assert cli.main(['verify', str(root / 'out' / 'report.html')]) == 2
  assert f'altered: {picture.relative_to(root / "out")} differs at row' in capsys.readouterr().err
  picture.write_text(drawn)

  [path] = (root / 'out').glob('stages/third-*/metrics.jsonl')
  whole = path.read_bytes()
  lines = [json.loads(line) for line in whole.splitlines()]
  lines[1]['grad_norm'] += 1e-6
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  assert cli.main(['verify', str(root / 'out' / 'report.html')]) == 2
  said = capsys.readouterr().err
  assert 'Traceback' not in said and f'altered: {path.relative_to(root / "out")} is not as it was written' in said
  path.write_bytes(whole)

  (root / 'out' / 'report.json').unlink()
  assert cli.main(['verify', str(root / 'out')]) == 0
  assert 'a report that is not sealed' in capsys.readouterr().out
