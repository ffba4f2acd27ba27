"""`python -m codemix.lm_eval ARGUMENTS` is `lm_eval ARGUMENTS` that knows the model 'codemix'.

The harness (0.4.13) has no entry point by which its own command would find a model of another package.
"""

from __future__ import annotations

import sys

from lm_eval.__main__ import cli_evaluate

from codemix.errors import CodemixError


def main() -> None:
  """Runs the harness's command line. Mistakes that codemix finds end in a message and its exit code."""
  try:
    cli_evaluate()
  except CodemixError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(error.exit_code)


if __name__ == '__main__':
  main()
