"""What the terminal shows of a study: the plan before the first step, then each stage's scores."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import TextIO

import jax
import numpy as np
from jax.sharding import Mesh
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from codemix import formatting
from codemix.console import Console
from codemix.data.batches.stream import StreamedSource
from codemix.data.mixtures.mixture import Mixture
from codemix.data.seqio.function_identity import has_functions
from codemix.evaluation.held_out import HeldOut
from codemix.studies.model_summary import describe_model, show_model
from codemix.studies.planning import StudyPlan
from codemix.training.placement import Placement
from codemix.training.stage import StagePlan, is_done, stage_folder
from codemix.training.stage_changes import namesake

# Of the matmul rate measured just before; what small decoders reach on CPUs and large ones on
# accelerators. It only shapes the time foretold.
UTILISATION = 0.4

WIDTH = 120  # where there is no terminal
BARS = '▁▂▃▄▅▆▇█'


def show_plan(
  plan: StudyPlan, validation: Mapping[str, HeldOut], placement: Placement, output: str, stream: TextIO
) -> None:
  """Prints models, devices, the stage tree with its mixtures, and every recipe's rate curve.

  Args:
    validation: what each stage is scored on, by source.
    placement: where the states would lie.
    output: where finished stages would lie, which are not to be trained again.
    stream: stderr beside a run, whose results go to stdout.
  """
  console = Console(stream, WIDTH)
  study = plan.study
  console.print(f'[bold]{escape(study.name)}[/bold]: {formatting.count(len(plan.recipes), "recipe")}')
  for name, recipe in study.recipes.items():
    plans = plan.recipes[name]
    console.print(f'  {name}: ' + ' → '.join(f'{p.stage.name} {formatting.tokens(p.tokens)}' for p in plans) + ' tokens')
    console.print(f'    rate {_sparkline(np.concatenate([p.rates for p in plans]))} {_rates(plans)}')
    if recipe.description:
      console.print(f'    [dim]{escape(recipe.description)}[/dim]')
  console.print()
  if any(isinstance(source, StreamedSource) for source in plan.sources.values()):
    console.print(
      '[yellow]streamed[/yellow]: nothing is prepared. Each source is read in its own order, the same in every epoch; how large it is,'
      '\n  and so its epochs and unique tokens, is not known; a resume, and each process, reads it again from its beginning.'
      '\n  Recipe.max_epochs holds from when the end of a source was once read; a run that never comes there cannot tell.\n'
    )
  if plan.tokenizer.changes:
    console.print(f'[yellow]the tokenizer changes text[/yellow] (Data.allow_lossy_tokenizer): {escape("; ".join(plan.tokenizer.changes))}\n')
  for name, source in plan.sources.items():
    if not isinstance(source, StreamedSource) and has_functions(source.store.manifest['identity']):
      console.print(
        f'[yellow]{escape(name)}[/yellow]: a SeqIO task, as it was when it was prepared. `codemix prepare` looks whether its functions, their values or files were edited since;'
        '\n  what only their code knows nobody sees: `codemix prepare --again` prepares it again.\n'
      )
  for root in (p for p in plan.stages() if p.parent is None):
    console.print(_stage_tree(plan, root))
  if validation:
    scored = ', '.join(f'{name} ({held_out})' for name, held_out in validation.items())
    console.print(f'each stage is scored on {escape(scored)}')
  recipes = plan.study.recipes.values()
  for model, optimizer, length in dict.fromkeys((r.model, r.optimizer, r.length) for r in recipes):
    show_model(describe_model(model, optimizer, length, placement), console)
  _show_cost(console, plan, placement.mesh, output)


def show_stage(plan: StudyPlan, stage_plan: StagePlan, number: int, output: str) -> None:
  """Says which stage comes now, and why it is trained where one of its name was trained before."""
  if jax.process_index():
    return
  done = is_done(output, stage_plan)
  users = [name for name, plans in plan.recipes.items() if stage_plan in plans]
  lineage = ' > '.join(p.stage.name for p in stage_plan.lineage())
  folder = stage_folder(output, stage_plan).name
  named_otherwise = '' if folder == stage_plan.folder_name else f', in {escape(folder)}'
  state = f' [green](done before{named_otherwise})[/green]' if done else ''
  Console(sys.stderr, WIDTH).print(f'[bold]{number}/{len(plan.stages())}[/bold] {lineage} [dim]for {", ".join(users)}[/dim]{state}')
  if not done and (other := namesake(output, stage_plan, plan.stages())):
    Console(sys.stderr, WIDTH).print(f'  [dim]{escape(other)}[/dim]')


def show_scores(stage: str, scores: Mapping[str, Mapping[str, float]]) -> None:
  """Prints the bits per byte of a stage's model, by source."""
  said = ', '.join(
    f'{name} {score["bits_per_byte"]:.4f}'
    + (f' ({score["documents"]:,} of {score["of_documents"]:,} documents)' if 'of_documents' in score else '')
    for name, score in scores.items()
  )
  if said:
    Console(sys.stderr, WIDTH).print(f'  held-out bits per byte after {stage}: {said}')


def mixture_tree(
  mixture: Mixture, tokens: int, source_tokens: Mapping[str, int | None], share: Fraction = Fraction(1)
) -> Tree:
  """A mixture as a tree with the share and the loss tokens of each node, and the epochs of each source.

  Args:
    tokens: of the stage.
    source_tokens: of one epoch of each source; None where that is not known.
    share: of the stage that the mixture has.
  """
  label = f'{mixture.name} {float(share):.2%}, {formatting.tokens(float(share) * tokens)} tokens'
  if not mixture.parts and source_tokens.get(mixture.name):
    label += f', {float(share) * tokens / source_tokens[mixture.name]:.3f} epochs'
  tree = Tree(label)
  for part in mixture.parts:
    tree.add(mixture_tree(part, tokens, source_tokens, share * part.weight))
  return tree


def draws_table(stage_plan: StagePlan) -> Table:
  """What each source gives to a stage."""
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('source')
  for column in ('share', 'rows', 'loss tokens', 'epochs', 'over the run', 'documents'):
    table.add_column(column, justify='right')
  for draw in stage_plan.draws:
    table.add_row(
      draw.source,
      f'{draw.share:.2%}',
      f'{draw.rows:,}',
      f'{draw.loss_tokens:,}',
      formatting.ledger(draw.epochs, 'epochs'),
      formatting.ledger(draw.epochs_cumulative, 'epochs'),
      formatting.ledger(draw.documents, 'documents'),
    )
  return table


def _stage_tree(plan: StudyPlan, node: StagePlan) -> Tree:
  remainder = f', {node.remainder_tokens:+,.0f} of the budget left' if node.remainder_tokens else ''
  tree = Tree(
    f'[bold]{node.stage.name}[/bold] {node.hash[:12]}: {node.steps:,} steps of {node.stage.batch} x {node.length:,} '
    f'= {node.tokens:,} tokens{remainder}'
  )
  epoch = {d.source: d.source_rows and d.source_rows * node.length for d in node.draws}
  for part in node.mixture().parts:
    if len(list(part.leaves())) > 1:  # the table below tells of the rest
      tree.add(mixture_tree(part, node.tokens, epoch, part.weight))
  for line in _changes(node):
    tree.add(line)
  tree.add(draws_table(node))
  for draw in node.draws:
    if not draw.rows:
      tree.add(f'[yellow]{draw.source} gets no row: its share of {sum(d.rows for d in node.draws):,} rows is less than one[/yellow]')
  for child in (p for p in plan.stages() if p.parent is node):
    tree.add(_stage_tree(plan, child))
  return tree


def _changes(node: StagePlan) -> list[str]:
  """How the mixture changes along the stage, a line for each part of it; none where it does not."""
  spans = node.mixtures.segments(node.stage.tokens)
  if len(spans) == 1 and spans[0].at_begin == spans[0].at_end:
    return []
  return [
    f'{float(span.begin):.1%} to {float(span.end):.1%} of the stage: '
    + ', '.join(_change(name, share, span.at_end[name]) for name, share in span.at_begin.items())
    for span in spans
  ]


def _change(name: str, begin: Fraction, end: Fraction) -> str:
  return f'{name} {float(begin):.2%}' + (f' to {float(end):.2%}' if end != begin else '')


def _show_cost(console: Console, plan: StudyPlan, mesh: Mesh, output: str) -> None:
  left = [p for p in plan.stages() if not is_done(output, p)]
  flops = sum(plan.recipe_of(p).model.flops_per_token(p.length)['total'] * p.tokens for p in left)
  savings = plan.savings()
  devices = f'{mesh.size} x {mesh.devices.flat[0].device_kind}'
  layout = ' x '.join(f'{axis} {size}' for axis, size in mesh.shape.items())
  console.print(f'devices: {devices} ({layout})')
  console.print(
    f'all stages: {formatting.tokens(savings["stage_tokens_trained"])} tokens in {savings["stages_trained"]}, of which {len(left)} are to be trained; each recipe alone would make it '
    f'{formatting.tokens(savings["stage_tokens_alone"])} in {savings["stages_alone"]} '
    f'({1 - savings["stage_tokens_trained"] / savings["stage_tokens_alone"]:.0%} saved)'
  )
  if not left:
    return
  seconds = flops / (UTILISATION * _matmul_rate() * mesh.size)
  console.print(
    f'time: {flops:.3g} training FLOPs, about {formatting.duration(seconds)} at {UTILISATION:.0%} of the matmul rate measured just now\n'
  )


def _matmul_rate(size: int = 1024, repeats: int = 8) -> float:
  """FLOP/s of a square float32 product on one device."""
  x = jax.device_put(np.ones((size, size), np.float32))  # NumPy's: JAX would compile a program to make them
  product = jax.jit(lambda x: x @ x)
  product(x).block_until_ready()
  seconds = []
  for _ in range(repeats):
    began = time.perf_counter()
    product(x).block_until_ready()
    seconds.append(time.perf_counter() - began)
  return 2 * size**3 / min(seconds)  # the quickest: on a shared machine the others waited


def _rates(plans: list[StagePlan]) -> str:
  return '; '.join(
    f'{p.stage.name} {p.rates[0]:.1e} to {p.rates.max():.1e} to {p.rates[-1]:.1e}' for p in plans
  )


def _sparkline(values: np.ndarray, width: int = 44) -> str:
  chunks = np.array_split(values, min(width, len(values)))
  levels = np.asarray([chunk.mean() for chunk in chunks]) / max(values.max(), 1e-30)
  return ''.join(BARS[min(int(level * len(BARS)), len(BARS) - 1)] for level in levels)
