"""`python -m codemix` is the same as `codemix`."""

import sys

from codemix.cli import main

if __name__ == '__main__':
  sys.exit(main())
