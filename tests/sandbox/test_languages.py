"""In every language: what passes passes, what ends early, fails or never ends does not."""

from __future__ import annotations

import pytest

from codemix.sandbox.execute import execute
from codemix.sandbox.languages import LANGUAGES, missing_tool, tool_versions
from codemix.sandbox.limits import Limits

pytestmark = pytest.mark.usefixtures('sandbox')

JAVA = 'class Main {{ public static void main(String[] a) throws Exception {{ {} }} }}'
CPP = '#include <bits/stdc++.h>\nint main() {{ {} }}'
# What each language calls: an error, leaving with 0, a loop, and taking more memory than there is.
FAILS = {
  'python': 'assert 1 == 2',
  'javascript': "throw new Error('x')",
  'typescript': "let x: number = 1; if (x) throw new Error('x')",
  'php': '<?php throw new Exception("x");',
  'ruby': 'raise "x"',
  'java': JAVA.format('throw new Exception("x");'),
  'cpp': CPP.format('throw std::runtime_error("x");'),
}
LEAVES = {
  'python': 'import sys; sys.exit(0)',
  'javascript': 'process.exit(0)',
  'typescript': 'process.exit(0)',
  'php': '<?php exit(0);',
  'ruby': 'exit(0)',
  'java': JAVA.format('System.exit(0);'),
  'cpp': CPP.format('exit(0);'),
}
LOOPS = {
  'python': 'while True: pass',
  'javascript': 'while (true) {}',
  'typescript': 'while (true) {}',
  'php': '<?php while (true) {}',
  'ruby': 'loop {}',
  'java': JAVA.format('while (true) {}'),
  'cpp': CPP.format('volatile int x = 0; while (true) x++;'),
}
HOARDS = {
  'python': 'x = []\nwhile True: x.append(bytearray(1 << 20))',
  'javascript': 'let x = []; while (true) x.push(new Array(100000).fill(1.5))',
  'typescript': 'let x: Buffer[] = []; while (true) x.push(Buffer.alloc(1 << 20, 1))',
  'php': '<?php $x = []; while (true) { $x[] = str_repeat("x", 1 << 20); }',
  'ruby': 'x = []; loop { x << "x" * (1 << 20) }',
  'java': JAVA.format('var x = new java.util.ArrayList<byte[]>(); while (true) x.add(new byte[1 << 20]);'),
  'cpp': CPP.format('std::vector<std::string> x; while (true) x.push_back(std::string(1 << 20, 1));'),
}


@pytest.fixture(params=sorted(LANGUAGES))
def language(request) -> str:
  missing = missing_tool(request.param)
  if missing:
    pytest.skip(missing)
  return request.param


def test_a_program_that_comes_to_its_end_passes(language):
  outcome = execute(LANGUAGES[language].example, language)
  assert (outcome.status, outcome.returncode) == ('passed', 0), outcome


def test_a_program_that_fails_is_not_passed(language):
  outcome = execute(FAILS[language], language)
  assert outcome.status == 'failed'
  assert outcome.returncode != 0


def test_a_program_that_leaves_with_zero_before_its_end_is_not_passed(language):
  assert execute(LEAVES[language], language).status == 'failed'


def test_a_program_that_does_not_compile_is_not_passed(language):
  assert execute('<?php ((' if language == 'php' else '((', language).status == 'failed'


def test_a_program_without_end_is_stopped(language):
  assert execute(LOOPS[language], language, Limits(cpu_seconds=3)).status == 'timed out'


def test_a_program_that_takes_all_memory_is_stopped(language):
  assert execute(HOARDS[language], language, Limits(memory_bytes=512 << 20)).status == 'out of memory'


def test_the_idiom_for_what_runs_only_in_the_main_file_runs(language):
  fails = {
    'python': "if __name__ == '__main__': assert False",
    'javascript': 'if (require.main === module) throw 1',
    'ruby': 'raise "x" if __FILE__ == $0',
  }
  if language not in fails:
    pytest.skip('the language has no such idiom')
  assert execute(fails[language], language).status == 'failed'


def test_versions_are_given_for_every_tool_that_is_found(language):
  versions = tool_versions()
  assert all(versions[tool] for tool in LANGUAGES[language].tools)
