"""Colours and dashes of a report's arms and sources.

Figures are drawn in the light colours. The page's style sheet replaces each of them by its dark
value on a dark screen, so a colour has one use only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence

Colour = tuple[str, str]  # in light, in dark

INK = '#23272d'
MUTED = '#666a72'
RULE = '#dcd8cf'
FURNITURE: dict[str, Colour] = {
  'ink': (INK, '#e3e1db'),
  'muted': (MUTED, '#9c9fa6'),
  'rule': (RULE, '#34383e'),
}
BASELINE: Colour = ('#555b64', '#b3b8c0')
# Neighbours differ in hue and in lightness.
ARMS: tuple[Colour, ...] = (
  ('#c4512d', '#f0895f'), ('#1f7a78', '#5cc0bb'), ('#7b4ea6', '#b995e0'), ('#94700a', '#e0b64a'),
  ('#2c6cb4', '#79b0ec'), ('#b8417a', '#ee8bb8'), ('#4f7a1f', '#a3cf6c'), ('#8a5b3d', '#cfa184'),
  ('#1c7f97', '#7dd3e8'), ('#93293a', '#e07a8b'), ('#6a7320', '#bcc56a'),
)  # fmt: skip
# Of sources, by kind: blues, browns; then the kinds that a user declares, in turn; last, no declared kind.
KINDS: dict[str, tuple[Colour, ...]] = {
  'text': (('#3a6ea5', '#6a9fd4'), ('#7fa9cf', '#44749f'), ('#4d8c8c', '#62a6a6'), ('#8d93c4', '#8389c8')),
  'code': (
    ('#cc7430', '#d88b4c'), ('#e2ad5e', '#b98b45'), ('#a45a45', '#c47f6a'), ('#d79a86', '#97614f'), ('#978248', '#ab9760'),
  ),
}  # fmt: skip
OTHER_KINDS: tuple[tuple[Colour, ...], ...] = (
  (('#8a4f7d', '#c58ab8'), ('#bd8fb3', '#8f6386'), ('#6e3f8f', '#a97fc9')),
  (('#5b8a3c', '#93c473'), ('#9cbf84', '#668a4e'), ('#3f7a5a', '#7bb896')),
  (('#b24a58', '#e08d98'), ('#d79aa2', '#9a5f68'), ('#8c3f66', '#c87fa4')),
)
UNDECLARED: tuple[Colour, ...] = (('#7d766b', '#aea698'), ('#a89f92', '#857c6f'), ('#5d625a', '#8d9489'))
DASHES = ('', '5 2', '1.5 2')


@dataclasses.dataclass(frozen=True)
class Paint:
  """How one arm or one source is drawn.

  Attributes:
    variable: the CSS variable of the colour.
    dash: an SVG dash pattern, empty for a full line.
  """

  variable: str
  light: str
  dark: str
  dash: str = ''

  @property
  def linestyle(self) -> str | tuple[int, tuple[float, ...]]:
    """The dash for matplotlib."""
    return (0, tuple(map(float, self.dash.split()))) if self.dash else '-'


def arm_paints(arms: Sequence[str], baselines: Container[str]) -> dict[str, Paint]:
  """One paint per arm: baselines grey; other colours repeat after eleven, with another dash, and grey after one."""
  others = _cycle('arm', [arm for arm in arms if arm not in baselines], ARMS)
  greys = {arm: Paint('baseline', *BASELINE, DASHES[turn % len(DASHES)]) for turn, arm in enumerate(arm for arm in arms if arm in baselines)}
  return {arm: others.get(arm) or greys[arm] for arm in arms}


def source_paints(sources: Sequence[str], kinds: Mapping[str, str]) -> dict[str, Paint]:
  """One paint per source: each declared kind has colours of its own.

  Args:
    kinds: of the sources whose kind is declared.
  """
  of_kind: dict[str | None, list[str]] = {}
  for source in sources:
    of_kind.setdefault(kinds.get(source), []).append(source)
  others = [kind for kind in of_kind if kind and kind not in KINDS]
  paints = {}
  for kind, names in of_kind.items():
    prefix, colours = kind, KINDS.get(kind, UNDECLARED)
    if kind is None:
      prefix = 'undeclared'
    elif kind in others:
      number = others.index(kind) % len(OTHER_KINDS)
      prefix, colours = f'kind-{number}', OTHER_KINDS[number]
    paints |= _cycle(prefix, names, colours)
  return {source: paints[source] for source in sources}


def all_paints() -> list[Paint]:
  """Every colour that there is, for the page's style sheet."""
  groups = {'arm': ARMS, **KINDS, 'undeclared': UNDECLARED}
  groups |= {f'kind-{number}': colours for number, colours in enumerate(OTHER_KINDS)}
  numbered = {f'{prefix}-{n}': pair for prefix, colours in groups.items() for n, pair in enumerate(colours)}
  return [Paint(name, *pair) for name, pair in {**FURNITURE, 'baseline': BASELINE, **numbered}.items()]


def _cycle(prefix: str, names: Sequence[str], colours: Sequence[Colour]) -> dict[str, Paint]:
  """Colours in turn; each time round with the next dash."""
  paints = {}
  for index, name in enumerate(names):
    turn, number = divmod(index, len(colours))
    paints[name] = Paint(f'{prefix}-{number}', *colours[number], DASHES[turn % len(DASHES)])
  return paints
