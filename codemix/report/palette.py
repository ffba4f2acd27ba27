"""Colours and dashes of a report's arms and sources, each under a name that the page redefines.

Figures are drawn in the light colours; in the page every one of them becomes a CSS variable, whose
dark value is lighter. A colour is therefore used for one name only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence

INK = '#23272d'
MUTED = '#6c7078'
RULE = '#dcd8cf'
SHADE = '#f1eee6'
FURNITURE = {'ink': INK, 'muted': MUTED, 'rule': RULE, 'shade': SHADE}

# The baseline is drawn in grey: it is the ground that the others stand on.
BASELINE = ('#555b64', '#b3b8c0')
# (light, dark), ordered so that neighbours differ in hue and in lightness.
RECIPES = (
  ('#c4512d', '#f0895f'),
  ('#1f7a78', '#5cc0bb'),
  ('#7b4ea6', '#b995e0'),
  ('#94700a', '#e0b64a'),
  ('#2c6cb4', '#79b0ec'),
  ('#b8417a', '#ee8bb8'),
  ('#4f7a1f', '#a3cf6c'),
  ('#8a5b3d', '#cfa184'),
  ('#1c7f97', '#7dd3e8'),
  ('#93293a', '#e07a8b'),
  ('#6a7320', '#bcc56a'),
)
TEXT_SOURCES = (
  ('#3a6ea5', '#6a9fd4'),
  ('#7fa9cf', '#44749f'),
  ('#4d8c8c', '#62a6a6'),
  ('#8d93c4', '#8389c8'),
)
CODE_SOURCES = (
  ('#cc7430', '#d88b4c'),
  ('#e2ad5e', '#b98b45'),
  ('#a45a45', '#c47f6a'),
  ('#d79a86', '#97614f'),
  ('#978248', '#ab9760'),
)
DASHES = ('', '5 2', '1.5 2')


@dataclasses.dataclass(frozen=True)
class Paint:
  """How one arm or one source is drawn; `dash` is an SVG dash pattern, empty for a full line."""

  variable: str
  light: str
  dark: str
  dash: str = ''


def arm_paints(arms: Sequence[str], baselines: Container[str]) -> dict[str, Paint]:
  """One paint per arm; colours come again after eleven, with another dash."""
  others = _cycle('recipe', [arm for arm in arms if arm not in baselines], RECIPES)
  return {arm: others.get(arm) or Paint('baseline', *BASELINE) for arm in arms}


def source_paints(kinds: Mapping[str, str]) -> dict[str, Paint]:
  """One paint per source (name to 'text' or 'code'): blues and greens for text, browns for code."""
  text = [source for source, kind in kinds.items() if kind == 'text']
  code = [source for source, kind in kinds.items() if kind == 'code']
  return _cycle('text', text, TEXT_SOURCES) | _cycle('code', code, CODE_SOURCES)


def all_paints() -> list[Paint]:
  """Every colour there is, for the page's style sheet."""
  paints = [Paint('baseline', *BASELINE)]
  for prefix, colours in (('recipe', RECIPES), ('text', TEXT_SOURCES), ('code', CODE_SOURCES)):
    paints += [Paint(f'{prefix}-{index}', *pair) for index, pair in enumerate(colours)]
  return paints


def _cycle(prefix: str, names: Sequence[str], colours: Sequence[tuple[str, str]]) -> dict[str, Paint]:
  return {
    name: Paint(
      f'{prefix}-{index % len(colours)}',
      *colours[index % len(colours)],
      DASHES[index // len(colours) % len(DASHES)],
    )
    for index, name in enumerate(names)
  }
