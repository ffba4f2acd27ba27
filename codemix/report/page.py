"""What pages have in common: the template engine, style and colours, the files of a picture."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from urllib.parse import quote

from codemix import formatting
from codemix.report import palette
from codemix.report.svg import Picture

# Needs no escape in an address between double quotes; escapes make the page large.
SAFE = ' !$()*+,-./:;=?@[]_{}~'


def render(template: str, **values: object) -> str:
  """A page of a template of this room. Every text is escaped: names of studies, recipes and runs may hold < and &."""
  import jinja2

  here = resources.files('codemix.report')
  environment = jinja2.Environment(
    loader=jinja2.FunctionLoader(lambda name: (here / name).read_text(encoding='utf-8')),
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
  )  # fmt: skip
  environment.filters |= {name: getattr(formatting, name) for name in ('tokens', 'integer', 'percent', 'known')}
  style = _colours() + (here / 'report.css').read_text(encoding='utf-8')
  script = (here / 'report.js').read_text(encoding='utf-8')
  return environment.get_template(template).render(style=style, script=script, policy=_policy(script), **values)


def _policy(script: str) -> str:
  """What a browser may do for the page: no address is fetched, and no script runs but this one."""
  seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{seal}'; base-uri 'none'; form-action 'none'"


def downloads(page: str, picture: Picture) -> list[tuple[str, str, str]]:
  """(kind, file name, data: address) of the files of a picture.

  Args:
    page: its title, which file names begin with.
  """
  name = f'{_slug(page)}-{picture.name}'
  return [
    ('SVG', f'{name}.svg', f'data:image/svg+xml,{quote(picture.svg, safe=SAFE)}'),
    ('PNG', f'{name}.png', f'data:image/png;base64,{base64.b64encode(picture.png).decode()}'),
    ('CSV', f'{name}.csv', f'data:text/csv;charset=utf-8,{quote(picture.csv, safe=SAFE)}'),
  ]


def _colours() -> str:
  """The palette as CSS variables, with the dark values for dark screens, also in pictures."""
  paints = palette.all_paints()
  light = ' '.join(f'--{paint.variable}: {paint.light};' for paint in paints)
  dark = ' '.join(f'--{paint.variable}: {paint.dark};' for paint in paints)
  drawn = '\n'.join(
    f"figure svg [style*='{what}: {paint.light}'] {{ {what}: {paint.dark} !important }}"
    for paint in paints for what in ('stroke', 'fill')
  )  # fmt: skip
  return f':root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{\n:root {{ {dark} }}\n{drawn}\n}}\n'


def _slug(name: str) -> str:
  """What a file name may hold on any system."""
  return re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:40] or 'study'
