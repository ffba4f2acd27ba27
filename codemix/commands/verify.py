"""`codemix verify`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.commands.experiment import (
  Experiment,
  add_format_argument,
  add_gin_arguments,
  load_experiment,
  show_line,
)
from codemix.commands.replaying import replay_folder, replay_study
from codemix.commands.written import (
  CLAIMS,
  CORPORA,
  REPORT,
  STAGE,
  STORE,
  find_written,
  has_claims,
  is_report,
)
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.formatting import count
from codemix.storage import as_path

if TYPE_CHECKING:
  from codemix.data.raw.protocols import Reader


@dataclasses.dataclass(frozen=True)
class Found:
  """Something to verify.

  Attributes:
    kind: one of `KINDS`.
    folder: where it lies; of a report that is named by one of its files, that file.
    tokenizer: of a token store, if it is known: must still encode as it did.
    reader: of a token store's corpus, which knows how its raw files are digested.
  """

  kind: str
  folder: Path
  tokenizer: Tokenizer | None = None
  reader: Reader | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('folder', nargs='*', metavar='FOLDER', help='folder of a token store, a stage or a report, one with such in it, or a file of a report; else --gin_file says which')
  add_gin_arguments(parser)
  parser.add_argument('--sources', action='store_true', help='re-read the raw files of token stores as well')
  parser.add_argument('--reread', action='store_true', help='in a bucket: read the checkpoints, where otherwise the checksums that the bucket keeps are compared')
  parser.add_argument('--replay', type=int, metavar='N', help='train up to N recorded steps of each stage again, beside it, and compare them bit by bit; of the folder of a run, a stage in it, or --gin_file')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  # Of the folder of a run that is replayed, flags change the gin file that lies in it.
  if arguments.folder and (arguments.gin_file or (arguments.gin_bindings and arguments.replay is None)):
    flag = '--gin_file' if arguments.gin_file else '--gin.NAME'
    raise UserError(f'{flag} names what a recipe or study reads, and {arguments.folder[0]} a folder: give one of the two.')
  if arguments.replay is not None and arguments.replay < 1:
    raise UserError(f'--replay is {arguments.replay}: it is a number of steps from 1.')
  experiment = None if arguments.folder else _load(arguments)
  everything = _of_study(experiment) if experiment else [Found(*one) for one in find_written(arguments.folder)]
  checked, errors = [], []
  for found in everything:
    checked.append({'kind': found.kind, 'folder': str(found.folder)})
    try:
      checked[-1] |= KINDS[found.kind](found, arguments)
      if error := checked[-1].get('error'):
        errors.append(UserError(error))
      elif arguments.format == 'text':
        print(_line(checked[-1]))
    except UserError as error:
      errors.append(error)
      checked[-1]['error'] = str(error)
  if arguments.format == 'json':
    print(json.dumps(checked, indent=1))
  if len(errors) == 1:
    raise errors[0]
  if errors:
    for error in errors:
      show_line(f'  {error}')
    stores = {found.kind for found in everything} == {STORE}
    what = 'token stores are not as they were prepared' if stores else 'folders are not as they were written'
    raise UserError(f'{len(errors)} of {len(everything)} {what}; the lines above say why.')
  if arguments.replay is None:
    return
  if experiment:
    replay_study(experiment, arguments.replay)
  for folder in arguments.folder:
    replay_folder(as_path(folder), arguments)


def _verify_store(found: Found, arguments: argparse.Namespace) -> dict:
  from codemix.data.store import raw_files
  from codemix.data.store.token_store import open_store
  from codemix.data.store.verify import verify_whole

  if not (found.folder / 'manifest.json').exists():
    return {'shards': len(list(found.folder.rglob('shard-*.json')))}
  store = open_store(found.folder, tokenizer=found.tokenizer)
  size = verify_whole(store)
  source = store.manifest['identity'].get('task', found.folder.name)
  counts = {'source': source, 'documents': store.documents, 'tokens': store.tokens, 'bytes_read': size}
  return {**counts, 'raw_files': raw_files.verify(found.folder, source, _digest_of(found))} if arguments.sources else counts


def _verify_stage(found: Found, arguments: argparse.Namespace) -> dict:
  from codemix.studies.verify import verify_stage

  return verify_stage(found.folder, arguments.reread)


def _verify_corpora(found: Found, arguments: argparse.Namespace) -> dict:
  from codemix.data.local_corpora.store import verify_corpora

  splits = verify_corpora(found.folder).splits()
  return {'documents': sum(split.documents for split in splits), 'bytes_read': sum(split.file_bytes for split in splits)}


def _verify_claims(found: Found, arguments: argparse.Namespace) -> dict:
  from codemix.studies.claim_register import check_claims

  chain = check_claims(found.folder)
  return {'registrations': len(chain), 'claims': len({claim['hash'] for entry in chain for claim in entry['claims'].values()})}


def _verify_report(found: Found, arguments: argparse.Namespace) -> dict:
  from codemix.report.verify import verify_report

  named = not found.folder.is_dir()
  folder = found.folder.parent if named else found.folder
  verified = verify_report(folder)
  result = {
    'state': verified.state, 'units': verified.units, 'files': verified.files, 'values': verified.values, 'former': verified.former,
    'other_versions': list(verified.others), 'findings': [dataclasses.asdict(finding) for finding in verified.findings],
  }  # fmt: skip
  again = f'`codemix report --output={folder}` writes it again'
  if verified.state == 'not sealed' and named:
    return result | {'error': f'{found.folder} has no report.json beside it, so nothing says what it was computed from: an earlier codemix wrote it, or the file was removed. {again}.'}
  # What was kept when the study went on is older than its units on purpose.
  if verified.state == 'altered' or (verified.state == 'stale' and (named or not verified.former)):
    return result | {'error': _what_differs(folder, verified.state, [(finding.kind, str(finding)) for finding in verified.findings], again)}
  return result


def _what_differs(folder: Path, state: str, findings: Sequence[tuple[str, str]], again: str) -> str:
  """Shows what was found, (kind, what) each, and returns the error in one line."""
  for kind, what in findings:
    show_line(f'  {kind}: {what}')
  if state == 'stale':
    return f'the report in {folder} is stale: its units went on since it was written; {findings[0][1]}. {again}.'
  first = next(what for kind, what in findings if kind != 'stale')
  return f'the report in {folder} is not what its units say: {first}. {count(len(findings), "finding")} in all, in the lines above; restore what was changed, or, if it is right as it is now, {again}.'


KINDS = {STORE: _verify_store, STAGE: _verify_stage, CORPORA: _verify_corpora, CLAIMS: _verify_claims, REPORT: _verify_report}


def _digest_of(found: Found) -> Callable[[str], str]:
  from codemix.data.raw import storage

  def digest(url: str) -> str:
    if storage.is_folder(url):
      raise UserError(f'{found.folder} was made from the folder {url}: name the recipe with --gin_file, which says which of its files were read.')
    return storage.digest_of(url)

  return found.reader.digest if found.reader else digest


def _line(found: dict) -> str:
  read = f'{found["bytes_read"] / 1e6:,.1f} MB re-read and as they were written' if 'bytes_read' in found else ''
  if compared := found.get('bytes_compared'):
    by_bucket = f'{compared / 1e6:,.1f} MB as they were written, by the checksums that the bucket keeps (--reread reads them)'
    read = f'{read}, {by_bucket}' if found['bytes_read'] else by_bucket
  if found['kind'] == STAGE:
    steps = ', '.join(f'{step:,}' for step in found['checkpoints']) or 'none yet'
    cut_off = f'; passed over as not wholly written: {", ".join(map(str, found["cut_off"]))}' if found['cut_off'] else ''
    begins = f'begins with {found["start"]}, ' if 'start' in found else ''
    unsealed = '; its metrics are not sealed: an earlier codemix finished it' if found['finished'] and found['steps'] and not found['sealed'] else ''
    return f'{found["folder"]}: {begins}{"finished" if found["finished"] else "not finished"}, {found["steps"]:,} steps, checkpoints at step {steps}, {read}{unsealed}{cut_off}'
  if found['kind'] == REPORT:
    return _line_of_report(found)
  if found['kind'] == CLAIMS:
    return f'{found["folder"]}: {count(found["claims"], "claim")} in {count(found["registrations"], "registration")}, as written'
  if not read:
    return f'{found["folder"]}: not finished, {found["shards"]} of its shards are there; `codemix prepare` goes on with it'
  raw = f'; {found["raw_files"]:,} raw files unchanged' if 'raw_files' in found else ''
  tokens = f'{found["tokens"]:,} tokens, ' if 'tokens' in found else ''
  return f'{found["folder"]}: {found["documents"]:,} documents, {tokens}{read}{raw}'


def _line_of_report(found: dict) -> str:
  if found['state'] == 'not sealed':
    return f'{found["folder"]}: a report that is not sealed: without report.json nothing says what it was computed from'
  former = 'of a study that ran here before, ' if found['former'] else ''
  if found['state'] == 'stale':
    return f'{found["folder"]}: a report {former}older than its units'
  pages = f'; its pages were compared with their digests alone, since {", ".join(found["other_versions"])} had other versions' if found['other_versions'] else ''
  return f'{found["folder"]}: a report {former}as its {count(found["units"], "unit")} say: {found["values"]:,} numbers and texts in {found["files"]} files computed again{pages}'


def _load(arguments: argparse.Namespace) -> Experiment:
  if not arguments.gin_file and not arguments.gin_bindings:
    raise UserError('name the folder of a token store, a stage, or one with such in it; or a recipe with --gin_file.')
  return load_experiment(arguments)


def _of_study(experiment: Experiment) -> list[Found]:
  """The stores that a recipe or study reads, and the stages in its output folder."""
  from codemix.studies.preparation import splits_read

  data = experiment.data
  tokenizer, corpora = data.load_tokenizer(), data.corpora
  stores = [
    Found(STORE, data.store_folder(source, split, tokenizer), tokenizer, corpora[source].reader if source in corpora else None)
    for source, split in splits_read(experiment.study, data)
  ]
  output = as_path(experiment.runtime.output)
  stages = sorted(path.parent for path in output.glob('stages/*/stage.json'))
  claims = [Found(CLAIMS, output)] if has_claims(output) else []
  report = [Found(REPORT, output)] if is_report(output) else []
  return stores + [Found(STAGE, folder) for folder in stages] + claims + report
