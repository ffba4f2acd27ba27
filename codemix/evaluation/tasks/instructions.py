"""Open-ended instructions: completions are stored, and judged in pairs afterwards (`codemix.evaluation.judge`)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from codemix.data.evaluation_sets.folder import EvaluationFolder, Wanted
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.generating import GeneratingEvaluator, columns_of, decoding_of
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource, Row
from codemix.evaluation.tasks.task import Items, Settings
from codemix.evaluation.tasks.task_evaluator import ask, gold_bits_per_byte
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
    asked = ask(self.name, self.read(settings.folder), settings)
    return InstructionAnswers(self, asked, decoding_of(self.decoding, settings), settings.completions)


@dataclasses.dataclass(frozen=True, eq=False)
class InstructionAnswers(GeneratingEvaluator):
  """The evaluator of `Instructions`: completions of each, and the written response's bits per byte; no `score`."""

  task: Instructions

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Raises NonFiniteError if the score of a response is not finite."""
    nats, sizes = self.gold(model)
    columns = {'id': [item.id for item in self.items], 'gold_nats': nats, 'gold_bytes': sizes, **columns_of(self.complete(model))}
    return Results({'items': len(self.items), **gold_bits_per_byte(nats, sizes)}, columns)


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
