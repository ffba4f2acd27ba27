"""`claims.json`: the claims of the studies of a folder, as a chain of registrations.

Each registration has all claims of a study as they stood when it began, the stages of the folder that had begun by then, and the
digest of the registration before it. So a claim, a date or an order that is changed afterwards does not fit the digests behind it;
`study.json` has that of the study's last run. Whoever rewrites the whole chain and `study.json` leaves no trace in the folder: to prove a date to
others, publish the digest, which the report shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codemix.errors import FolderUnavailable, UserError
from codemix.identity import digest
from codemix.storage import FileName, as_path, locked, read_json, require_form, write_json

FILE = 'claims.json'
LOCK = 'claims'  # a folder, for the lock of whoever registers
_WAIT_S = 120  # a lease of a process that was killed is over by then
_ARGUMENTS = {'arm': str, 'metric': str, 'expected': str, 'against': str, 'margin': float, 'stage': int | str | None, 'sentence': str}
_SIDE = {'arm': str, 'stage': int}
_CLAIM = {
  'name': str, 'version': int, 'arguments': _ARGUMENTS, 'own': _SIDE, 'base': _SIDE,
  'unit': str, 'metric': [{'evaluator': str, 'weight': float, 'items': dict}],
}  # fmt: skip
_ENTRY = {'hash': str, 'claim': _CLAIM, 'own': {...: FileName}, 'base': {...: FileName}}
_REGISTRATION = {'study': str, 'registered': str, 'claims': {...: _ENTRY}, 'begun': {...: str}, 'before': str | None, 'digest': str}
_FIX = 'Restore the file.'
_SIGNS = ('done.json', 'metrics.jsonl', 'metrics.jsonl.*')  # in a bucket, lines are in parts


@dataclasses.dataclass(frozen=True)
class Registered:
  """A claim of a study, with its history.

  Attributes:
    name: as it was last registered.
    hash: of what it says.
    claim: what it says, as plain data (`claim_record`).
    own, base: the stage's folder of each run by its seed, as last registered.
    left_out: seeds that it was first registered with, and that it is no longer compared with.
    registered: when, in ISO 8601.
    begun: the folders of the stages that had begun by then.
    withdrawn: when the study first began without it; None if it is in force.
    begun_at_withdrawal: the stages that had begun by then.
  """

  name: str
  hash: str
  claim: Mapping
  own: Mapping[str, str]
  base: Mapping[str, str]
  left_out: Sequence[str]
  registered: str
  begun: frozenset[str]
  withdrawn: str | None = None
  begun_at_withdrawal: frozenset[str] = frozenset()

  @property
  def folders(self) -> set[str]:
    """Of the stages that it compares."""
    return {*self.own.values(), *self.base.values()}

  @property
  def seen_before(self) -> set[str]:
    """The stages that it compares and that had begun when it was registered; it is exploratory if there are any."""
    return self.folders & self.begun

  @property
  def counts(self) -> bool:
    """Whether it was registered in time and, if it was withdrawn, withdrawn too late to be as if it had not been."""
    return not self.seen_before and (self.withdrawn is None or bool(self.folders & self.begun_at_withdrawal))


def register(output: str | Path, study: str, claims: Mapping[str, dict]) -> str | None:
  """Appends a registration if the claims are not those of the study's last one.

  Raises UserError if the chain that is there was changed, before anything is written.

  Args:
    study: its name.
    claims: of `claim_record.claim_records`.

  Returns:
    The digest of the study's last registration; None if it never had a claim.
  """
  last = _last(read_chain(output), study)
  if last is None and not claims:
    return None
  if last is not None and last['claims'] == claims:
    return last['digest']
  with _alone(as_path(output) / LOCK):  # units of one study may begin at the same moment
    return _append(output, study, claims)


def _append(output: str | Path, study: str, claims: Mapping[str, dict]) -> str:
  chain = read_chain(output)
  last = _last(chain, study)
  if last is not None and last['claims'] == claims:
    return last['digest']
  registration = {
    'study': study,
    'registered': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'claims': dict(claims),
    'begun': begun_stages(output),
    'before': chain[-1]['digest'] if chain else None,
  }
  registration['digest'] = digest(registration)
  write_json(as_path(output) / FILE, {'registrations': [*chain, registration]})
  return registration['digest']


def _last(chain: Sequence[dict], study: str) -> dict | None:
  return next((entry for entry in reversed(chain) if entry['study'] == study), None)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
  """Holds the lock of `folder`, for which it waits a while. Raises UserError if another process keeps it."""
  deadline = time.monotonic() + _WAIT_S
  with contextlib.ExitStack() as held:
    while True:
      try:
        held.enter_context(locked(folder, 'registering claims'))
        break
      except FolderUnavailable:
        if time.monotonic() > deadline:
          raise
        time.sleep(0.2)
    yield


def read_chain(output: str | Path) -> list[dict]:
  """The registrations of a folder, in order; [] without the file.

  Raises UserError if one is not as it was written, naming the claim as far as the digests tell.
  """
  path = as_path(output) / FILE
  if not path.is_file():
    return []
  chain = read_json(path, {'registrations': [_REGISTRATION]}, _FIX)['registrations']
  before = None
  for number, entry in enumerate(chain, 1):
    for name, claim in entry['claims'].items():
      if claim['hash'] != digest(claim['claim']):
        raise UserError(f"{path}: the claim '{name}' was changed after it was registered on {entry['registered']}: its hash is not that of what it says. {_FIX}")
    if entry['digest'] != digest({key: value for key, value in entry.items() if key != 'digest'}):
      raise UserError(f'{path}: registration {number}, of {_names(entry)} on {entry["registered"]}, was changed after it was written: its digest is not that of its content. {_FIX}')
    if entry['before'] != before:
      raise UserError(f'{path}: registration {number}, of {_names(entry)} on {entry["registered"]}, does not follow the one before it: one was changed, moved or taken out. {_FIX}')
    before = entry['digest']
  return chain


def check_claims(output: str | Path) -> list[dict]:
  """The registrations of a folder, checked, also against the digest in `study.json`.

  Raises UserError as `read_chain` does, or if the registration with which the study last began is missing.
  """
  output = as_path(output)
  chain = read_chain(output)
  path = output / 'study.json'
  record = read_json(path) if path.is_file() else {}
  if 'claims' not in record:
    return chain
  require_form(record, {'name': str, 'claims': str}, path)
  of_study = [entry for entry in chain if entry['study'] == record['name']]
  # A run that was killed between the two files leaves a later registration than that of study.json.
  if record['claims'] not in [entry['digest'] for entry in of_study]:
    left = f'its last one of this study is that of {_names(of_study[-1])} on {of_study[-1]["registered"]}' if of_study else 'it has none of this study'
    raise UserError(f'{output / FILE} lacks the registration {record["claims"][:12]} with which {path} was written; {left}. One was taken out or changed. {_FIX}')
  return chain


def history(chain: Sequence[Mapping], study: str) -> list[Registered]:
  """Every claim that a study ever had, in the order of registration: those in force first, then those withdrawn.

  A claim that is taken up again unchanged keeps its first date.
  """
  of_study = [entry for entry in chain if entry['study'] == study]
  found: dict[str, Registered] = {}
  for entry in of_study:
    begun = frozenset(entry['begun'])
    there = {claim['hash']: (name, claim) for name, claim in entry['claims'].items()}
    for key, known in found.items():
      if key not in there and known.withdrawn is None:
        found[key] = dataclasses.replace(known, withdrawn=entry['registered'], begun_at_withdrawal=begun)
    for key, (name, claim) in there.items():
      known = found.get(key)
      new = Registered(name, key, claim['claim'], claim['own'], claim['base'], (), entry['registered'], begun)
      found[key] = _again(known, new) if known else new
  return sorted(found.values(), key=lambda claim: claim.withdrawn is not None)


def _again(known: Registered, new: Registered) -> Registered:
  """A known claim with the name and the runs of a later registration."""
  seeds = {*known.left_out, *known.own, *known.base}
  left_out = tuple(sorted(seed for seed in seeds if seed not in new.own and seed not in new.base))
  return dataclasses.replace(known, name=new.name, own=new.own, base=new.base, left_out=left_out, withdrawn=None, begun_at_withdrawal=frozenset())


def begun_stages(output: str | Path) -> dict[str, str]:
  """The stages of a folder that have steps or are finished: hash by folder, '' if it cannot be read."""
  files = [path for pattern in _SIGNS for path in (as_path(output) / 'stages').glob(f'*/{pattern}')]
  begun = {}
  for folder in sorted({path.parent for path in files if path.stat().st_size}):
    begun[folder.name] = ''
    with contextlib.suppress(UserError):  # of another study perhaps; whoever reads the stage says what is wrong
      begun[folder.name] = read_json(folder / 'stage.json', {'hash': str})['hash']
  return begun


def _names(registration: Mapping) -> str:
  return ', '.join(f"'{name}'" for name in registration['claims']) or 'no claims'
