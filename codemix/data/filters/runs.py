"""Keeps only what runs: programs that end without an error when they are run by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from codemix.checked import checked
from codemix.data import languages
from codemix.data.filters.passes_tests import sandbox_works, verdict
from codemix.sandbox.execute import in_threads
from codemix.sandbox.limits import Limits

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class Runs:
  """Drops a record whose text does not run to its end in the sandbox.

  The text is the whole program: it has no input, no network and no packages but those of the language, and a module
  that other modules surround cannot import them. What runs depends on the machine as it does for `PassesTests`.

  Attributes:
    limits: what each program may use.
    allow_unsandboxed: where there is no working sandbox, run programs with this user's rights,
      rather than refuse.
  """

  # The version rises with that of `PassesTests`, by whose commands the programs run.
  stable_name, version = 'runs', 1
  name: ClassVar[str] = 'runs'

  limits: Limits = Limits()
  allow_unsandboxed: bool = False

  def reason(self, record: Record) -> str | None:
    """None where it ran to its end; else 'failed', 'timed out', and so on, as of `PassesTests`.

    Raises UserError: there is no sandbox here, or a language's tools do not work in it.
    """
    return self.reasons([record], jobs=1)[0]

  def reasons(self, records: Sequence[Record], jobs: int | None = None) -> list[str | None]:
    """`reason` of each record, `jobs` programs at a time (None: one per core)."""
    unsafe = self.allow_unsandboxed and not sandbox_works()
    return in_threads(lambda record: verdict(record.text, languages.of_record(record), self.limits, unsafe), records, jobs)
