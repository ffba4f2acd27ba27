"""`python -m codemix` is the same as `codemix`."""

from codemix.cli import entry

if __name__ == '__main__':
  entry()
