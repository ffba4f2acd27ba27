"""A forecast as plain data, for `--format=json`."""

from __future__ import annotations

import dataclasses

from codemix.planner.alternatives import Attempt, smallest_of
from codemix.planner.collectives import by_kind
from codemix.planner.forecast import Forecast, ProgramForecast
from codemix.planner.programs import model_flops
from codemix.planner.published import comparable
from codemix.planner.stages import PlannedStage


def describe(forecast: Forecast) -> dict:
  """All figures, unrounded: bytes, seconds, FLOPs."""
  models = dict.fromkeys(recipe.model for recipe in forecast.study.recipes.values())
  return {
    'study': forecast.study.name,
    'topology': str(forecast.topology),
    'chips': forecast.topology.chips,
    'chip': dataclasses.asdict(forecast.chip) if forecast.chip else None,
    'mesh': dict(forecast.mesh.shape),
    'fits': forecast.fits,
    'assumed_mfu': forecast.prices.mfu,
    'price_per_chip_hour': forecast.prices.chip_hour,
    'programs': [_program(forecast, program) for program in forecast.programs.values()],
    'stages': [_stage(forecast, stage) for stage in forecast.stages],
    'attempts': [_attempt(attempt) for attempt in forecast.attempts],
    'smallest_change': [*smallest.change.bindings] if (smallest := smallest_of(forecast.attempts)) else None,
    'published': [
      {**dataclasses.asdict(run), 'implied_mfu': mfu} for model in models for run, mfu in comparable(model)
    ],
  }


def _program(forecast: Forecast, program: ProgramForecast) -> dict:
  compiled, step = program.compiled, program.compiled.step
  return {
    'kind': step.kind,
    'parameters': step.model.parameter_count()['total'],
    'attention': step.model.attention,
    'remat': step.model.remat,
    'batch': step.batch,
    'length': step.length,
    'fits': program.fits,
    'limit_bytes': program.limit,
    'bytes_per_chip': {**dataclasses.asdict(compiled.memory), 'total': compiled.memory.total},
    'model_flops': model_flops(step),
    'model_flops_per_token': model_flops(step) / step.tokens,
    'executed_flops': compiled.flops,
    'compiler_flops_per_chip_loops_once': compiled.compiler_flops,
    'memory_traffic_bytes_per_chip': compiled.memory_traffic,
    'loops_known': compiled.loops_known,
    'collectives': [dataclasses.asdict(traffic) for traffic in by_kind(compiled.collectives)],
    'predicted_seconds': program.time
    and {**program.time.parts(), 'overlapped': program.time.overlapped, 'one_by_one': program.time.one_by_one},
    'predicted_mfu_at_most': forecast.mfu_of_roofline(step),
    'compile_seconds': compiled.seconds,
    'compile_cpu_seconds': compiled.cpu_seconds,
  }


def _stage(forecast: Forecast, stage: PlannedStage) -> dict:
  hours = forecast.hours_at_mfu(stage)
  price = forecast.prices.chip_hour
  return {
    'path': stage.path,
    'recipes': stage.recipes,
    'tokens': stage.tokens,
    'steps': stage.steps,
    'model_flops': forecast.flops(stage),
    'chip_hours_at_assumed_mfu': hours,
    'chip_hours_at_least': forecast.hours_of_roofline(stage),
    'price': hours * price if hours is not None and price is not None else None,
    'checkpoint_bytes': stage.checkpoint_bytes(),
    'checkpoints_written': stage.checkpoints_written(forecast.runtime),
    'checkpoints_kept': stage.checkpoints_kept(forecast.runtime),
  }


def _attempt(attempt: Attempt) -> dict:
  return {
    'bindings': attempt.change.bindings,
    'fits': attempt.fits,
    'found_by': 'compiled' if attempt.compiled else 'computed',
    'bytes_per_chip': attempt.compiled.memory.total if attempt.compiled else attempt.state_bytes,
  }
