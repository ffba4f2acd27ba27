"""A forecast as tables for a terminal."""

from __future__ import annotations

from typing import TextIO

from rich import filesize
from rich.markup import escape
from rich.table import Table

from codemix import formatting
from codemix.console import Console
from codemix.planner.alternatives import Attempt, smallest_of
from codemix.planner.chips import GIB
from codemix.planner.collectives import by_kind
from codemix.planner.forecast import Forecast, ProgramForecast, name_of
from codemix.planner.programs import model_flops
from codemix.planner.published import LENGTH, comparable


def show_forecast(forecast: Forecast, stream: TextIO) -> None:
  """Prints the programs, the stages, the paper's costs and, if a program does not fit, what to change."""
  console = Console(stream, width=180)
  layout = ' x '.join(f'{axis} {size}' for axis, size in forecast.mesh.shape.items())
  console.print(f'[bold]{escape(forecast.study.name)}[/bold] on {forecast.topology}: {formatting.count(forecast.topology.chips, "chip")}, {layout}')
  if chip := forecast.chip:
    network = f', network {chip.network_rate / 1e9:g} GB/s' if chip.network_rate else ''
    console.print(
      f'a chip: {chip.flops / 1e12:g} bf16 TFLOP/s, {gib(chip.memory_bytes):g} GiB at {chip.memory_rate / 1e9:,g} GB/s, '
      f'{chip.link_rate / 1e9:g} GB/s a link each way{network} ({chip.source})'
    )
  elif program := next(iter(forecast.programs.values()), None):
    console.print(f'virtual devices share the memory of this machine: {gib(program.limit):.3g} GiB each')
  for program in forecast.programs.values():
    _show_program(console, forecast, program)
  console.print()
  console.print(_stages(forecast))
  _show_totals(console, forecast)
  _show_published(console, forecast)
  if not forecast.fits:
    _show_attempts(console, forecast)


def _show_program(console: Console, forecast: Forecast, program: ProgramForecast) -> None:
  compiled, step = program.compiled, program.compiled.step
  console.print(f"\n[bold]{name_of(step)}[/bold]: attention '{step.model.attention}', remat '{step.model.remat}', compiled in {compiled.seconds:.0f} s ({compiled.cpu_seconds:.0f} s of processor time)")
  console.print(f'  memory of a chip: {_memory(program)}')
  flops = model_flops(step)
  console.print(
    f'  FLOPs: model {flops:.3g} a step ({flops / step.tokens:.3g} a token), executed {compiled.flops:.3g} ({compiled.flops / flops:.2f}x: '
    f'recomputation, and attention outside the causal half)' + _compiler_flops(forecast, program)
  )
  if not compiled.fits_compiler:
    return
  sent = [
    f'{t.kind} {_size(t.sent_bytes)} in {t.count:,}{" between slices" if t.over == "network" else ""}'
    for t in by_kind(compiled.collectives)
  ]
  console.print(f'  a chip sends in a step: {", ".join(sent) or "nothing"}')
  if time := program.time:
    parts = ', '.join(f'{name} {1e3 * seconds:,.1f} ms' for name, seconds in time.parts().items())
    console.print(
      f'  predicted (roofline, not measured): {parts}; a step at best {1e3 * time.overlapped:,.1f} ms ({time.bound}-bound, '
      f'MFU {formatting.percent(forecast.mfu_of_roofline(step))}), {1e3 * time.one_by_one:,.1f} ms if nothing overlaps'
    )
    if time.network is None:
      console.print("  [yellow]this leaves out the network: the chip's share of it is not published[/yellow]")
  if not compiled.loops_known:
    console.print('  [yellow]a loop of unknown length counts as one iteration: FLOPs and bytes are too low[/yellow]')


def _memory(program: ProgramForecast) -> str:
  memory = program.compiled.memory
  if memory.required:
    return f'[red]the compiler needs {gib(memory.required):.2f} GiB; the limit is {gib(program.limit):.4g} GiB[/red]'
  parts = ('weights', 'optimizer', 'batch', 'outputs', 'temporaries', 'code')
  listed = ' + '.join(f'{name} {gib(getattr(memory, name)):.2f}' for name in parts if getattr(memory, name))
  colour, verdict = ('green', 'fits') if program.fits else ('red', 'does not fit')
  return f'{listed} = [{colour}]{gib(memory.total):.2f} of {gib(program.limit):.4g} GiB: {verdict}[/{colour}]'


def _compiler_flops(forecast: Forecast, program: ProgramForecast) -> str:
  count = program.compiled.compiler_flops
  if not count:
    return ''
  share = count * forecast.topology.chips / program.compiled.flops
  if 0.8 < share < 1.25:
    return f"; the compiler's count: {share:.2f}x of that"
  return f"; the compiler's count ({share:.2f}x of that) takes each loop's body once and no kernel: do not use it"


def _stages(forecast: Forecast) -> Table:
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('stage', no_wrap=True)
  priced = forecast.prices.chip_hour is not None
  columns = ['tokens', 'steps', 'model FLOPs']
  if forecast.chip:
    columns += [f'chip-hours at MFU {forecast.prices.mfu:g}', 'time at that', 'chip-hours at best', *(['price'] if priced else [])]
  for column in (*columns, 'a checkpoint', 'kept of'):
    table.add_column(column, justify='right')
  for stage in forecast.stages:
    row = [formatting.tokens(stage.tokens), f'{stage.steps:,}', f'{forecast.flops(stage):.3g}']
    if forecast.chip:
      hours = forecast.hours_at_mfu(stage)
      row += [f'{hours:,.0f}', formatting.duration(hours * 3600 / forecast.topology.chips), _hours(forecast.hours_of_roofline(stage))]
      row += [f'{hours * forecast.prices.chip_hour:,.0f}'] if priced else []
    kept = f'{stage.checkpoints_kept(forecast.runtime)} of {stage.checkpoints_written(forecast.runtime):,}'
    table.add_row(escape(' > '.join(stage.path)), *row, _size(stage.checkpoint_bytes()), kept)
  return table


def _hours(hours: float | None) -> str:
  return formatting.UNKNOWN if hours is None else f'{hours:,.0f}'


def _show_totals(console: Console, forecast: Forecast) -> None:
  tokens = sum(stage.tokens for stage in forecast.stages)
  line = f'{formatting.count(len(forecast.stages), "stage")}, each trained once: {formatting.tokens(tokens)} tokens'
  if forecast.chip:
    hours = sum(forecast.hours_at_mfu(stage) for stage in forecast.stages)
    line += f', {hours:,.0f} chip-hours at MFU {forecast.prices.mfu:g} ({formatting.duration(hours * 3600 / forecast.topology.chips)})'
    if forecast.prices.chip_hour is not None:
      line += f', {hours * forecast.prices.chip_hour:,.0f} at {forecast.prices.chip_hour:g} a chip-hour'
  kept = sum(stage.checkpoint_bytes() for stage in forecast.stages)
  console.print(f'{line}; a result of each: {_size(kept)} on disk')


def _show_published(console: Console, forecast: Forecast) -> None:
  models = dict.fromkeys(recipe.model for recipe in forecast.study.recipes.values())
  for run, mfu in (found for model in models for found in comparable(model)):
    console.print(
      f'the paper: {run.what}: {run.chip_hours:,.0f} chip-hours of v5e, which is an MFU of {mfu:.1%} for this model '
      f'(rows of {LENGTH:,}; head and causal attention counted)'
    )


def _show_attempts(console: Console, forecast: Forecast) -> None:
  console.print()
  for program in forecast.too_large():
    console.print(f'[red]does not fit[/red]: {name_of(program.compiled.step)}')
  for attempt in forecast.attempts:
    console.print(f'  {_attempt(attempt)}')
  if fitting := smallest_of(forecast.attempts):
    console.print(f'the smallest change after which {name_of(forecast.too_large()[0].compiled.step)} fits: {"; ".join(fitting.change.bindings)}')
  else:
    console.print('none of these fits: take a larger topology, a smaller Stage.batch, or tensor parallelism.')


def _attempt(attempt: Attempt) -> str:
  verdict = 'fits' if attempt.fits else 'does not fit'
  if attempt.compiled:
    found = f'compiled: {gib(attempt.compiled.memory.total):.2f} GiB'
  else:
    found = f'computed: weights, gradients and optimizer alone are {gib(attempt.state_bytes):.2f} GiB'
  return f'{"; ".join(attempt.change.bindings)}: {verdict} ({found})'


def gib(count: float) -> float:
  """Bytes in GiB."""
  return count / GIB


def _size(count: float) -> str:
  return filesize.decimal(round(count), precision=2)
