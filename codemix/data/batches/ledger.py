"""The ledger: what each source gave to each stage, planned beside realised.

What was realised is counted from what the train step itself saw: it returns, per source, the rows
and the loss tokens that entered the loss and the documents that began in them, and these are summed
on the host. The two are compared before a stage's checkpoint is called its result. Entries are
chained: a stage's hash covers its parent's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from codemix.data.batches.source_use import SourceUse
from codemix.errors import CodemixError
from codemix.identity import digest

COUNTED = ('rows', 'loss_tokens', 'documents')  # what the train step counts
TOKENS = 'tokens'  # with these, of a source with prompts; of others they are the loss tokens


def counted(use: SourceUse) -> tuple[str, ...]:
  """What the ledger has of a source as it was realised."""
  return COUNTED if use.tokens is None else (*COUNTED, TOKENS)


def compare(planned: Sequence[SourceUse], realised: Mapping[str, Mapping[str, int]], where: str) -> None:
  """Raises CodemixError where what was counted is not what was planned: a fault of codemix."""
  for use in planned:
    for key in counted(use):
      plan, found = getattr(use, key), realised[use.source][key]
      if plan is not None and plan != found:
        raise CodemixError(
          f"{where}: the ledger does not agree for '{use.source}': {plan:,} {key} planned, {found:,} realised. "
          'The stage is not called done; please report this.'
        )


def with_shares_of(uses: Sequence[SourceUse], planned: Sequence[Mapping]) -> list[SourceUse]:
  """The uses with the shares of another recipe that comes to the same rows: 0.333 and 1/3 may be one stage.

  Args:
    planned: of an entry. A share that does not come to the rows of its use is ignored.
  """
  asked = {use['source']: use['share'] for use in planned}
  total = sum(use.rows for use in uses)
  shares = [asked.get(use.source, use.share) for use in uses]
  return [
    dataclasses.replace(use, share=share) if abs(share * total - use.rows) <= 1 else use
    for use, share in zip(uses, shares, strict=True)
  ]


def entry(
  stage: str,
  planned: Sequence[SourceUse],
  realised: Mapping[str, Mapping[str, int]],
  parent_hash: str | None,
  skipped: Sequence[Mapping] = (),
  rewinds: Sequence[Mapping] = (),
) -> dict:
  """The ledger of a finished stage, chained to its parent's by hash.

  Args:
    realised: what all steps drew, those included that were not learned from.
    skipped: these steps, and what each of them drew (`codemix.training.drawn.Drawn.skipped`).
    rewinds: the spikes of the loss before which the stage went back.
  """
  body = {
    'stage': stage,
    'planned': [use.as_json() for use in planned],
    'realised': [{'source': name, **counts} for name, counts in realised.items()],
    'parent_hash': parent_hash,
    **({'skipped': list(skipped)} if skipped else {}),
    **({'rewinds': list(rewinds)} if rewinds else {}),
  }
  return {**body, 'hash': digest(body)}
