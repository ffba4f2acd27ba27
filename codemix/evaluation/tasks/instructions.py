"""Open-ended instructions: completions are stored, and judged in pairs afterwards (`codemix.evaluation.judge`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder, Wanted
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.completions_file import completions_of
from codemix.evaluation.tasks.examples import chosen, scored_bytes
from codemix.evaluation.tasks.free_answer import decoding_of, origin_of
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource, Row
from codemix.evaluation.tasks.multiple_choice import identity_of_items, stored_name
from codemix.evaluation.tasks.passages import refuse_shots, require_finite
from codemix.evaluation.tasks.task import Items, Settings
from codemix.models.decoding import Decoding


@dataclasses.dataclass(frozen=True)
class Instructions:
  """A task of instructions, each with a written response as `reference`.

  Attributes:
    name: of the task.
    source: its items, with the field 'instruction'.
    decoding: how completions are generated.
  """

  name: str
  source: ItemSource
  decoding: Decoding = Decoding(max_new_tokens=256, stop=('\nInstruction:',))
  metric: ClassVar[str] = 'win rate by a judge'

  def read(self, folder: EvaluationFolder) -> Items:
    """Raises UserError if the file is missing, damaged or of another form."""
    return self.source.read(folder, self.name)

  def evaluator(self, settings: Settings) -> InstructionAnswers:
    """Raises UserError as `read` does, or if examples are asked for."""
    refuse_shots(self.name, settings)
    found = self.read(settings.folder)
    items, known = tuple(chosen(found.items, settings.limit)), tuple(item.id for item in found.items)
    return InstructionAnswers(self, items, found.data, decoding_of(self.decoding, settings), settings.completions, known)


@dataclasses.dataclass(frozen=True, eq=False)
class InstructionAnswers:
  """The evaluator of `Instructions`: completions of each, and the written response's bits per byte; no `score`."""

  task: Instructions
  items: Sequence[Item]
  data: Mapping[str, str]
  decoding: Decoding
  completions: str | None = None
  known: tuple[str, ...] = ()
  version: ClassVar[int] = 1

  @property
  def name(self) -> str:
    return stored_name(self.task.name, 0)

  @property
  def identity(self) -> dict[str, Any]:
    of_items = identity_of_items(self.task.name, self.task.metric, self.data, self.items, 0, 0)
    return {**of_items, **origin_of(self.decoding, self.completions)}

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Raises NonFiniteError if the score of a response is not finite."""
    items = self.items
    gold = model.score([(item.prompt, item.reference) for item in items])
    require_finite(gold.nats, model, self.task.name)
    completions = completions_of(model, self.task.name, items, self.known, self.decoding, self.completions)
    size = np.asarray([scored_bytes(item.prompt, item.reference) for item in items])
    columns = {
      'id': [item.id for item in items],
      'completions': [[completion.text for completion in found] for found in completions],
      'ended_by': [[completion.ended_by for completion in found] for found in completions],
      'gold_nats': gold.nats,
      'gold_bytes': size,
    }
    return Results({'items': len(items), 'gold_bits_per_byte': math.fsum(gold.nats) / (math.log(2) * int(size.sum()))}, columns)


def dolly(row: Row) -> Item:
  """Dolly's row, or one of the Aya evaluation suite, which has its English prompts as 'inputs' and 'targets'."""
  if 'inputs' in row:
    instruction, context, response = row['inputs'], '', row['targets']
  else:
    instruction, context, response = row['instruction'], row.get('context') or '', row['response']
  shown = '\n'.join(filter(None, (instruction.strip(), context.strip())))
  return Item('', f'Instruction: {shown}\nResponse:', reference=f' {response.strip()}', fields={'instruction': shown})


TASKS = (
  Instructions(
    'dolly',
    ItemSource(
      Wanted(
        ('dolly/dolly_english.jsonl', 'dolly/dolly_subset.jsonl', 'dolly/databricks-dolly-15k.jsonl'),
        "CohereLabs/aya_evaluation_suite (the paper's 200 English prompts) and databricks/databricks-dolly-15k on the Hugging Face hub",
      ),
      dolly,
      published=200,
    ),
  ),
)
