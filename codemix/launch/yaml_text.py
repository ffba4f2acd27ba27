"""YAML that a person can read: text of several lines as blocks, keys in the order given."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
  pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
  return dumper.represent_scalar('tag:yaml.org,2002:str', text, style='|' if '\n' in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(*documents: Any) -> str:
  """The documents of a file."""
  return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
