"""The lists of Python's names have those of the Python that runs."""

import __future__

import builtins
import keyword

from codemix.data.python_source.names import FEATURES, is_pythons


def test_keywords_and_builtins_are_pythons():
  assert all(map(is_pythons, [*keyword.kwlist, *keyword.softkwlist, *__future__.all_feature_names, *dir(builtins)]))
  assert set(__future__.all_feature_names) <= FEATURES


def test_names_of_programs_are_not():
  assert not any(map(is_pythons, ['self', 'append', 'os', 'x', 'é', '_private', '__', '__half', 'Print']))
