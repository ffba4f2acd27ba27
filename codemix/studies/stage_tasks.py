"""The stages of a study as SeqIO tasks 'recipe/stage', for T5X and other readers of SeqIO."""

from __future__ import annotations

from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.errors import UserError
from codemix.studies.planning import StudyPlan


def register_stages(plan: StudyPlan) -> list[str]:
  """Registers every stage of every recipe as a SeqIO task; imports TensorFlow.

      codemix.register_stages(codemix.plan_study(study, data))
      task = seqio.get_mixture_or_task('balanced_to_text/balanced')
      rows = task.get_dataset({'targets': 8192}, 'train', shuffle=False)

  Raises UserError if a name is registered already or a recipe has two stages of one name.

  Returns:
    The names of the tasks, 'recipe/stage'; `register_stage` says what each of them gives.
  """
  with suppress_stderr():
    from codemix.data.seqio.stage_task import register_stage
  stages = [
    (f'{recipe}/{stage.name}', stage) for recipe, plans in plan.recipes.items() for stage in plans
  ]
  names = [name for name, _ in stages]
  if twice := next((name for name in names if names.count(name) > 1), None):
    raise UserError(f"two stages are named '{twice}', and SeqIO knows tasks by name: give one of them another Stage.name.")
  for name, stage in stages:
    register_stage(name, stage.rows(plan.sources_of(stage.length)), stage.length, plan.tokenizer)
  return names
