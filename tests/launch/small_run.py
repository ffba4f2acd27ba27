"""A small run of two stages, its progress and its results."""

from __future__ import annotations

from pathlib import Path


def flags(gin: str, data: Path, folder: Path, steps: int = 300) -> list[str]:
  """Flags of a run of two stages of so many steps in `folder`, saved every 20."""
  (folder / 'recipe.gin').write_text(gin)
  bindings = {'Data.directory': str(data), 'Runtime.output': str(folder / 'out'), 'Runtime.save_every': 20, 'Stage.tokens': steps * 256, 'Recipe.max_epochs': 1000.0}
  return [f'--gin_file={folder / "recipe.gin"}', *(f'--gin.{name}={value!r}' for name, value in bindings.items())]


def saved_step(output: Path) -> int:
  """The last step of the run with a whole checkpoint; 0 if there is none."""
  return max((int(path.name.split('.')[0]) for path in output.glob('stages/*/checkpoints/*.digest.json')), default=0)


def results(output: Path) -> dict[str, bytes]:
  """Ledger and metrics of both stages."""
  files = [path for name in ('ledger.json', 'metrics.jsonl') for path in output.glob(f'stages/*/{name}')]
  assert len(files) == 4
  return {str(path.relative_to(output)): path.read_bytes() for path in files}
