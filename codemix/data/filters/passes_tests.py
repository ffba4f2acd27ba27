"""Keeps only programs that pass their own tests: the filter behind verified synthetic code."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from codemix.checked import checked
from codemix.errors import UserError
from codemix.sandbox.execute import execute, in_threads
from codemix.sandbox.limits import Limits

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class PassesTests:
  """Drops a record whose `program` (its text with tests) does not pass when it is run.

  What passes depends on `limits` and on how programs are run (`version`), which are part of a
  store's identity. It depends on the versions of interpreters too; these are not part of it, because
  a store must open on machines that only train and have no PHP. `languages.tool_versions` gives
  them for the manifest.

  Attributes:
    limits: what each program may use.
    allow_unsandboxed: where there is no working sandbox, run programs with this user's rights,
      rather than refuse.
  """

  # The version rises with every change to the commands or the launcher by which another program may pass.
  stable_name, version = 'passes_tests', 1

  limits: Limits = Limits()
  allow_unsandboxed: bool = False

  name: ClassVar[str] = 'passes tests'

  def reason(self, record: Record) -> str | None:
    """None where it passed; else 'failed', 'timed out', 'out of memory', 'too much output', 'not run: no php'.

    Raises UserError: there is no sandbox here, or a language's tools do not work in it.
    """
    return self.reasons([record], jobs=1)[0]

  def reasons(self, records: Sequence[Record], jobs: int | None = None) -> list[str | None]:
    """`reason` of each record, `jobs` programs at a time (None: one per core)."""
    unsafe = self.allow_unsandboxed and not sandbox_works()
    # What programs wrote is let go at once: a batch of them may write more than fits into memory.
    return in_threads(lambda record: self._reason(record, unsafe), records, jobs)

  def _reason(self, record: Record, unsafe: bool) -> str | None:
    if not record.program:
      return 'not run: no program'
    return verdict(record.program, record.language, self.limits, unsafe)


def verdict(program: str, language: str, limits: Limits, unsafe: bool) -> str | None:
  """None where a program passed; else why it did not: 'failed', 'timed out', ..., 'not run: no php'."""
  outcome = execute(program, language, limits, unsafe=unsafe)
  if outcome.status == 'not run':
    return f'not run: {outcome.stderr}'
  return None if outcome.status == 'passed' else outcome.status


def sandbox_works() -> bool:
  """Whether programs can be isolated on this machine."""
  try:
    return execute('').status == 'passed'
  except UserError:
    return False
