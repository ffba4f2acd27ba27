"""Sphinx: `python -m sphinx -W -q -b html docs docs/_build/html`."""

import pathlib
import sys

# The checkout's own package and tests/, whether or not codemix is installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

project = 'codemix'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build']

myst_heading_anchors = 3

# Docstrings say `name` for code, as Markdown does.
default_role = 'code'
napoleon_use_ivar = True
napoleon_attr_annotations = False
toc_object_entries_show_parents = 'hide'
autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
python_maximum_signature_line_length = 88

html_theme = 'alabaster'
html_static_path = ['_static']
html_show_copyright = False
html_show_sourcelink = False
html_sidebars = {'**': ['about.html', 'navigation.html', 'searchbox.html']}
html_theme_options = {
  'description': 'Text and code in pre-training data, stage by stage, on JAX.',
  'fixed_sidebar': True,
  'page_width': '1160px',
  'sidebar_width': '210px',
  'body_max_width': '54em',
  'font_family': 'Georgia, "DejaVu Serif", serif',
  'code_font_size': '0.8em',
  'show_powered_by': False,
}
