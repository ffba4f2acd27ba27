"""The shared verified code is executed, and what passes is what is known to pass.

The counts are those of Python 3.11, Node 20, PHP 8.2, Ruby 3.1, Java 17 and g++ 12; a few programs
of a language pass or fail by its version.
"""

from __future__ import annotations

import collections
import itertools
import shutil
import subprocess

import pytest

from codemix.sandbox.execute import execute_all
from codemix.sandbox.languages import missing_tool
from tests.sandbox.verified_code import FILES, programs

pytestmark = pytest.mark.usefixtures('sandbox')

# file -> of its first ten programs, those that fail: by a fault of the solution, which was looked at.
SAMPLE = {
  'mbxp/mbpp_release_v1.jsonl.gz': set(),
  'mathqa_python/mathqa-test-python_v1.jsonl.gz': set(),
  'cruxeval_text/cruxeval_text.jsonl.gz': set(),
  'p3_puzzles/puzzles.json.gz': set(),
  'p3_puzzles/puzzles_text.jsonl.gz': set(),
}


def require_tools(language: str) -> None:
  missing = missing_tool(language)
  if missing:
    pytest.skip(missing)
  if language == 'javascript':
    node = shutil.which('node')
    path = ':'.join(f'{root}/lib/node_modules' for root in ('/usr', '/usr/local')) + ':/usr/share/nodejs'
    if subprocess.run([node, '-e', "require('lodash')"], env={'NODE_PATH': path}, capture_output=True, check=False).returncode:
      pytest.skip('the tests of this file need lodash: npm install --global lodash')
