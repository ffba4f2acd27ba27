"""The benchmarks that ship, and the groups of them."""

from __future__ import annotations

from collections.abc import Mapping

from codemix.evaluation.tasks.task import Task

TASKS: Mapping[str, Task] = {}

# Disjoint sets; 'nl_reasoning', 'knowledge' and 'code' are the paper's, whose aggregates are their macro-averages.
GROUPS: Mapping[str, tuple[str, ...]] = {}
