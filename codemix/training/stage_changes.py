"""Differences, as the user wrote them, between a stage and a finished one of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from codemix.errors import UserError
from codemix.storage import as_path, read_json
from codemix.training.stage import StagePlan, stage_folder

SHOWN = 4  # changes in a line


def as_written(plan: StagePlan) -> dict:
  """What stage.json keeps beside the identity to describe later changes; it is not hashed."""
  mixture = {source: str(share) for source, share in plan.mixture().shares().items() if share}
  return {**plan.stage.written(), 'mixture': mixture}


def namesake(output: str | Path, plan: StagePlan, study: Iterable[StagePlan]) -> str | None:
  """Says why a stage is not finished although there is a finished one of the same name.

  The sentence has the folder that differs least and what changed; None if there is no such folder.
  Folders of stages of `study` are not compared.
  """
  expected = {stage_folder(output, stage_plan).name for stage_plan in study}
  compared = []
  for done in sorted(as_path(output).glob(f'stages/{plan.stage.name}-*/done.json')):
    if done.parent.name not in expected:
      try:
        compared.append((changes(plan, read_json(done.parent / 'stage.json')), done.parent.name))
      except (UserError, AttributeError, KeyError, TypeError, ValueError):  # damaged: `codemix verify` says so
        continue
  if not compared:
    return None
  changed, folder = min(compared, key=lambda item: len(item[0]))
  more = f', and {len(changed) - SHOWN} more' if len(changed) > SHOWN else ''
  return f'{folder} was trained with {", ".join(changed[:SHOWN])}{more}; it stays, and this stage is trained under a new name.'


def changes(plan: StagePlan, record: Mapping) -> list[str]:
  """What differs between a plan and the stage.json of another, each as 'NAME = THEN (now NOW)'."""
  now, then, written = plan.identity, record['identity'], record.get('written')
  version = then['numerics']
  if version == 1:
    then, written = _of_version_1(then, plan)
  found = [*_changes(now, then, as_written(plan), written)]
  if found or version == now['numerics']:
    return found
  if version == 1:
    return ['an earlier codemix, which hashed the plan as it was written']
  return [f'version {version} of the numbers that codemix computes (now {now["numerics"]})']


def _changes(now: Mapping, then: Mapping, written: Mapping, before: Mapping) -> Iterator[str]:
  if now['steps'] != then['steps'] or now['batch'] != then['batch'] or now['length'] != then['length']:
    yield from _different('tokens', before['tokens'], written['tokens'])
  for name, key in (('batch', 'batch'), ('Recipe.length', 'length'), ('Recipe.seed', 'seed')):
    yield from _different(name, then[key], now[key])
  if now['rates'] != then['rates']:
    yield from _different_schedule(before['schedule'], written['schedule'])
  if now['rows'] and then['rows']:
    yield from _different('Stage.shares', *('loss_tokens' if isinstance(each['rows'], dict) else 'tokens' for each in (then, now)))
  if now['rows'] != then['rows']:
    for source in dict.fromkeys((*before['mixture'], *written['mixture'])):
      then_share, now_share = (_percent(each, source) for each in (before, written))
      if then_share != now_share:
        yield f"'{source}' at {then_share} (now {now_share})"
    if set(before['mixture']) == set(written['mixture']) and list(before['mixture']) != list(written['mixture']):
      yield f'its sources in the order {", ".join(before["mixture"])}'
  for field in ('weights', 'optimizer'):
    yield from _different(f'Handoff.{field}', *((each or {}).get(field) for each in (then['handoff'], now['handoff'])))
  if now['first_step'] != then['first_step']:
    yield f'its first step at {then["first_step"]:,} of the run (now {now["first_step"]:,})'
  yield from _different('rewind', then['rewound'], now['rewound'])
  for group, name in (('model', 'ModelConfig'), ('optimizer', 'Optimizer')):
    for field in dict.fromkeys((*then[group], *now[group])):
      yield from _different(f'{name}.{field}', then[group].get(field), now[group].get(field))
  yield from _different('Skips', then.get('skips'), now.get('skips'))
  if now['tokenizer'] != then['tokenizer']:
    yield f'another tokenizer ({then["tokenizer"]["digest"][:8]}, now {now["tokenizer"]["digest"][:8]})'
  for source, digest in now['sources'].items():
    if then['sources'].get(source, digest) != digest:
      yield f"other documents in '{source}' (data {then['sources'][source][:8]}, now {digest[:8]})"
  if now['parent'] != then['parent']:
    yield 'another stage before it'


def _of_version_1(then: Mapping, plan: StagePlan) -> tuple[dict, dict]:
  """(identity, written) of a stage.json of `NUMERICS` 1, as far as known in today's form."""
  stage, now = then['stage'], plan.identity
  same_parent = plan.parent and then['parent'] == plan.parent.earlier_hash
  handoff = stage.get('handoff')
  written = {
    **{key: stage[key] for key in ('tokens', 'schedule', 'rewind')},
    'mixture': {name: share for name, share in stage['mixture'] if share != '0'},
  }
  model = {**then['model'], 'kv_heads': then['model']['kv_heads'] or then['model']['heads']}
  resolved = {
    'parent': now['parent'] if same_parent else then['parent'],
    **{key: then[key] for key in ('length', 'seed', 'tokenizer', 'sources')},
    'steps': round(stage['tokens'] / (stage['batch'] * then['length'])),
    'first_step': now['first_step'],
    'batch': stage['batch'],
    'rates': None,
    'rows': None,
    'rewound': now['rewound'],
    'handoff': handoff and {field: handoff[field] for field in ('weights', 'optimizer')},
    'model': model,
    'optimizer': {field: then['optimizer'].get(field, value) for field, value in now['optimizer'].items()},
  }
  return resolved, written


def _different_schedule(then: Mapping | None, now: Mapping | None) -> Iterator[str]:
  then, now = then or {'kind': None}, now or {'kind': None}
  if then['kind'] != now['kind']:
    yield from _different('schedule', then['kind'], now['kind'])
    return
  for field in now:
    yield from _different(f'{now["kind"]}.{field}', then.get(field), now[field])


def _different(name: str, then: object, now: object) -> Iterator[str]:
  if then != now:
    yield f'{name} = {_shown(then)} (now {_shown(now)})'


def _shown(value: object) -> str:
  if isinstance(value, (int, float)) and not isinstance(value, bool):
    return f'{value:,.0f}' if float(value).is_integer() else f'{value:g}'
  return str(value)


def _percent(written: Mapping, source: str) -> str:
  return f'{float(100 * Fraction(written["mixture"].get(source, "0"))):.6g}%'
