"""Shows what one mutation does: `python -m tests.fuzz.show 'store manifest' '["drop", ["seal"]]'`; the traceback of a fault is printed."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import tests.conftest  # noqa: F401 (devices, before JAX starts)
from tests.fuzz import runs, stores, texts
from tests.fuzz.mutations import apply


def main(name: str, recipe: str) -> None:
  with tempfile.TemporaryDirectory() as place:
    for module in (stores, runs, texts):
      for given in module.inputs(Path(place) / module.__name__):
        if given.name == name:
          given.path.write_bytes(apply(json.loads(recipe), given.path.read_bytes()))
          if given.reseal:
            given.reseal()
          print(given.read())
          return
  sys.exit(f'no input is named {name!r}')


if __name__ == '__main__':
  main(*sys.argv[1:])
