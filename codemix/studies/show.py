"""Shows a study in the terminal: the plan before the first step, then each stage and its scores."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
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
from codemix.data.batches.network_need import network_need
from codemix.data.mixtures.mixture import Mixture
from codemix.data.seqio.function_identity import has_functions
from codemix.evaluation.held_out import HeldOut
from codemix.studies.forecast import UTILISATION, forecast
from codemix.studies.model_summary import describe_model, show_model
from codemix.studies.planning import StudyPlan
from codemix.training.placement import Placement
from codemix.training.stage import StagePlan, is_done, stage_folder
from codemix.training.stage_changes import namesake

WIDTH = 120  # where there is no terminal
BARS = '▁▂▃▄▅▆▇█'


def show_plan(
  plan: StudyPlan, validation: Mapping[str, HeldOut], placement: Placement, output: str, stream: TextIO
) -> None:
  """Prints models, devices, the stage tree with its mixtures, and every recipe's rate curve.

  Args:
    validation: what each stage is scored on, by source.
    output: Runtime.output, in which finished stages are looked for.
    stream: stdout, or stderr if results go to stdout.
  """
  console = Console(stream, WIDTH)
  study = plan.study
  console.print(f'[bold]{escape(study.name)}[/bold]: {formatting.count(len(plan.recipes), "recipe")}')
  for name, recipe in study.recipes.items():
    plans = plan.recipes[name]
    console.print(f'  {escape(name)}: ' + ' → '.join(f'{escape(p.stage.name)} {formatting.tokens(p.tokens)}' for p in plans) + ' tokens')
    console.print(f'    rate {_sparkline(np.concatenate([p.rates for p in plans]))} {_rates(plans)}')
    if recipe.description:
      console.print(f'    [dim]{escape(recipe.description)}[/dim]')
    for line in _start(plans[0]):
      console.print(f'    {escape(line)}')
  console.print()
  if any(source.streamed for source in plan.sources.values()):
    console.print(
      '[yellow]streamed[/yellow]: nothing is prepared. Each source is read in its own order, the same in every epoch. Its size is not known,'
      '\n  and so neither are its epochs and unique tokens. A resumed run, and each process, reads it again from the beginning.'
      '\n  Recipe.max_epochs is checked only after the end of a source was read once.\n'
    )
  if plan.tokenizer.changes:
    console.print(f'[yellow]the tokenizer changes text[/yellow] (Data.allow_lossy_tokenizer): {escape("; ".join(plan.tokenizer.changes))}\n')
  for name, source in plan.sources.items():
    if not source.streamed and has_functions(source.identity):
      console.print(
        f'[yellow]{escape(name)}[/yellow]: a SeqIO task, as it was when it was prepared. `codemix prepare` prepares it again if its functions, their values or files were edited;'
        '\n  other changes, such as in what its functions read, are not found: use `codemix prepare --again`.\n'
      )
  for name, source in plan.sources.items():
    if not source.streamed and len(source) < source.stored_rows:
      console.print(f'{escape(name)}: an epoch is {len(source):,} of its {source.stored_rows:,} rows, as many as the smallest source of its group in Data.matched has')
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
  """Prints which stage is next, and what differs from a finished stage of the same name."""
  if jax.process_index():
    return
  done = is_done(output, stage_plan)
  users = [name for name, plans in plan.recipes.items() if stage_plan in plans]
  stages = stage_plan.lineage()
  lineage = ' > '.join([*([f'from {stages[0].start.name}'] if stages[0].start else []), *(p.stage.name for p in stages)])
  folder = stage_folder(output, stage_plan).name
  named_otherwise = '' if folder == stage_plan.folder_name else f', in {escape(folder)}'
  state = f' [green](done before{named_otherwise})[/green]' if done else ''
  Console(sys.stderr, WIDTH).print(f'[bold]{number}/{len(plan.stages())}[/bold] {escape(lineage)} [dim]for {escape(", ".join(users))}[/dim]{state}')
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
  """A mixture as a tree: share and loss tokens of each node, epochs of each source.

  Args:
    tokens: of the stage.
    source_tokens: of one epoch of each source; None if that is not known.
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
  """The shares, rows, tokens, epochs and documents of each source in a stage."""
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('source')
  # Without prompts every token is a loss token.
  with_prompts = any(draw.tokens is not None for draw in stage_plan.draws)
  for column in ('share', 'rows', *(['tokens'] if with_prompts else []), 'loss tokens', 'epochs', 'over the run', 'documents'):
    table.add_column(column, justify='right')
  for draw in stage_plan.draws:
    table.add_row(
      draw.source,
      f'{draw.share:.2%}',
      f'{draw.rows:,}',
      *([f'{draw.rows * stage_plan.length:,}'] if with_prompts else []),
      f'{draw.loss_tokens:,}',
      formatting.ledger(draw.epochs, 'epochs'),
      formatting.ledger(draw.epochs_cumulative, 'epochs'),
      formatting.ledger(draw.documents, 'documents'),
    )
  return table


def _stage_tree(plan: StudyPlan, node: StagePlan) -> Tree:
  remainder = f', {node.remainder_tokens:+,.0f} of the budget left' if node.remainder_tokens else ''
  tree = Tree(
    f'[bold]{escape(node.stage.name)}[/bold] {node.hash[:12]}: {node.steps:,} steps of {node.stage.batch} x {node.length:,} '
    f'= {node.tokens:,} tokens{remainder}'
  )
  epoch = {d.source: d.source_rows and d.source_rows * node.length for d in node.draws}
  for part in node.mixture().parts:
    if len(list(part.leaves())) > 1:  # the table below has the others
      tree.add(mixture_tree(part, node.tokens, epoch, part.weight))
  for line in _changes(node):
    tree.add(line)
  tree.add(draws_table(node))
  for draw in node.draws:
    if not draw.rows:
      tree.add(f'[yellow]{escape(draw.source)} gets no row: its share of {sum(d.rows for d in node.draws):,} rows is less than one[/yellow]')
  for child in (p for p in plan.stages() if p.parent is node):
    tree.add(_stage_tree(plan, child))
  return tree


def _start(first: StagePlan) -> Iterator[str]:
  """What a recipe begins with, what its first stage takes over, and what to know about that; nothing without a start."""
  if not (start := first.start):
    return
  taken = ', '.join(f'{field} {choice}' for field, choice in dataclasses.asdict(first.stage.handoff).items())
  yield f'begins with {start.name} ({start.kind}, {start.hash[:12]}, checkpoint {start.checkpoint[:12]}, step {start.last_step:,}) of {start.folder}: {taken}'
  for name, cursor in start.cursors.items():
    if cursor.cursor and name in {draw.source for draw in first.draws}:
      yield f"  '{name}' goes on after the {cursor.cursor:,} rows that it has read"
  for remark in start.remarks:
    yield f'  {remark}'


def _changes(node: StagePlan) -> list[str]:
  """A line for each part of the stage, with how the mixture changes; empty if it is constant."""
  if node.mixtures.constant(node.stage.tokens):
    return []
  return [
    f'{float(span.begin):.1%} to {float(span.end):.1%} of the stage: '
    + ', '.join(_change(name, share, span.at_end[name]) for name, share in span.at_begin.items())
    for span in node.mixtures.segments(node.stage.tokens)
  ]


def _change(name: str, begin: Fraction, end: Fraction) -> str:
  return f'{name} {float(begin):.2%}' + (f' to {float(end):.2%}' if end != begin else '')


def _show_cost(console: Console, plan: StudyPlan, mesh: Mesh, output: str) -> None:
  left = [p for p in plan.stages() if not is_done(output, p)]
  savings = plan.savings()
  devices = f'{mesh.size} x {mesh.devices.flat[0].device_kind}'
  layout = ' x '.join(f'{axis} {size}' for axis, size in mesh.shape.items())
  console.print(f'devices: {devices} ({layout})')
  console.print(
    f'all stages: {formatting.tokens(savings["stage_tokens_trained"])} tokens in {savings["stages_trained"]}, of which {len(left)} are to be trained; each recipe alone would make it '
    f'{formatting.tokens(savings["stage_tokens_alone"])} in {savings["stages_alone"]} '
    f'({1 - savings["stage_tokens_trained"] / savings["stage_tokens_alone"]:.0%} saved)'
  )
  needs = {p.name: need for p in left if (need := network_need(p.rows(plan.sources_of(p.length)), -(-p.stage.batch // jax.process_count())))}
  if needs:
    name, most = max(needs.items(), key=lambda item: item[1].bytes)
    console.print(
      f'network: a step needs up to {most.bytes / 2**20:.3g} MiB from the bucket in about {most.requests:,.0f} requests, in each of '
      f'{jax.process_count():,} processes (stage {escape(name)}, with an empty cache)'
    )
  if left:
    flops, seconds = forecast(plan, left, mesh)
    console.print(
      f'time: {flops:.3g} training FLOPs, about {formatting.duration(seconds)} at {UTILISATION:.0%} of the matmul rate measured just now\n'
    )


def _rates(plans: list[StagePlan]) -> str:
  return '; '.join(
    f'{p.stage.name} {p.rates[0]:.1e} to {p.rates.max():.1e} to {p.rates[-1]:.1e}' for p in plans
  )


def _sparkline(values: np.ndarray, width: int = 44) -> str:
  chunks = np.array_split(values, min(width, len(values)))
  levels = np.asarray([chunk.mean() for chunk in chunks]) / max(values.max(), 1e-30)
  return ''.join(BARS[min(int(level * len(BARS)), len(BARS) - 1)] for level in levels)
