"""The tools, files and commands that run programs of each language.

A program passes only if its tests ran to their end: a solution that calls `exit(0)` does not pass.
So each language has a few lines that run after the tests and write a random word, new for each run,
to a separate descriptor.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from codemix.sandbox.launcher import REPORT
from codemix.sandbox.limits import Limits


@dataclasses.dataclass(frozen=True)
class Language:
  """A language whose programs can be run.

  In files and commands `{word}` is the random word, `{report}` the descriptor that it is written to,
  `{heap_bytes}` and `{heap_mib}` the size of an interpreter's heap, and `{typescript}` the compiler's
  library.

  Attributes:
    file: name of the program's file.
    example: a short program that passes, to check that the tools work in the sandbox.
    out_of_memory: texts on standard error that mean that it ran out of memory.
    tools: executables that it needs; the first word of a command is one of them, or a path.
    ending: appended to the program.
    other_files: name -> content, beside the program.
    steps: commands; the last one is the program, and those before it must succeed. If there are none,
      the launcher runs the program.
    reserves_memory: whether its runtime reserves much more address space than it uses, so that only
      resident memory can be limited.
  """

  file: str
  example: str
  out_of_memory: tuple[str, ...]
  tools: tuple[str, ...] = ()
  ending: str = ''
  other_files: Mapping[str, str] = dataclasses.field(default_factory=dict)
  steps: tuple[tuple[str, ...], ...] = ()
  reserves_memory: bool = False


_NODE = ('node', '--max-old-space-size={heap_mib}', '--stack-size=900')
_NODE_ENDING = "\n;require('fs').writeSync({report}, '{word}');\n"
_JVM = ('-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:ActiveProcessorCount=2', '-XX:-UsePerfData')

LANGUAGES: dict[str, Language] = {
  'python': Language(
    file='program.py',
    example='assert True',
    out_of_memory=('MemoryError',),
  ),
  'javascript': Language(
    file='program.js',
    example="require('assert')(true)",
    out_of_memory=('heap out of memory', 'Array buffer allocation failed'),
    tools=('node',),
    ending=_NODE_ENDING,
    steps=((*_NODE, 'program.js'),),
    reserves_memory=True,
  ),
  # Types are removed, not checked: the checker needs the types of every imported package.
  'typescript': Language(
    file='program.ts',
    example="import * as assert from 'assert'\nlet x: boolean = true; assert.equal(x, true)",
    out_of_memory=('heap out of memory', 'Array buffer allocation failed'),
    tools=('node', 'tsc'),
    ending=_NODE_ENDING.replace('require', "eval('require')"),  # its type is not declared
    other_files={
      'transpile.js': (
        "const fs = require('fs'), ts = require('{typescript}');\n"
        "const options = {module: 'commonjs', target: 'es2022'};\n"
        "const made = ts.transpileModule(fs.readFileSync('program.ts', 'utf8'),"
        ' {compilerOptions: options, reportDiagnostics: true});\n'
        'for (const d of made.diagnostics) console.error(ts.flattenDiagnosticMessageText(d.messageText, "\\n"));\n'
        'if (made.diagnostics.length) process.exit(1);\n'
        "fs.writeFileSync('program.js', made.outputText);\n"
      )
    },
    steps=((*_NODE, 'transpile.js'), (*_NODE, 'program.js')),
    reserves_memory=True,
  ),
  'php': Language(
    file='program.php',
    example='<?php if (1 + 1 != 2) { throw new Exception("x"); }',
    out_of_memory=('Allowed memory size of', 'Out of memory'),
    tools=('php',),
    other_files={
      'main.php': "<?php require 'program.php'; file_put_contents('php://fd/{report}', '{word}');"
    },
    steps=(('php', '-d', 'memory_limit={heap_bytes}', '-d', 'display_errors=stderr', 'main.php'),),
  ),
  'ruby': Language(
    file='program.rb',
    example='raise "x" if 1 + 1 != 2',
    out_of_memory=('NoMemoryError', 'failed to allocate memory'),
    tools=('ruby',),
    # $0 is the program's file, so that its `if __FILE__ == $0` holds.
    other_files={'main.rb': "$0 = File.expand_path('program.rb')\nload $0\nIO.for_fd({report}).syswrite('{word}')\n"},
    steps=(('ruby', 'main.rb'),),
  ),
  'java': Language(
    file='Main.java',
    example='class Main { public static void main(String[] a) {} }',
    out_of_memory=('java.lang.OutOfMemoryError',),
    tools=('javac', 'java'),
    other_files={
      'CodemixEnding.java': (
        'class CodemixEnding {\n'
        '  public static void main(String[] arguments) throws Throwable {\n'
        '    Main.main(arguments);\n'
        '    try (var file = new java.io.FileOutputStream("/dev/fd/{report}")) {\n'
        '      file.write("{word}".getBytes());\n'
        '    }\n'
        '  }\n'
        '}\n'
      )
    },
    steps=(
      (
        'javac',
        *(f'-J{flag}' for flag in _JVM),
        '-J-Xmx{heap_mib}m',
        '-nowarn',
        '-proc:none',
        '-encoding',
        'UTF-8',
        'Main.java',
        'CodemixEnding.java',
      ),
      ('java', *_JVM, '-Xmx{heap_mib}m', '-cp', '.', 'CodemixEnding'),
    ),
    reserves_memory=True,
  ),
  'cpp': Language(
    file='program.cpp',
    example='#include <vector>\nint main() { return std::vector<int>().size(); }',
    out_of_memory=('std::bad_alloc',),
    tools=('g++',),
    # The linker lets the start-up code call __wrap_main, and names the program's own __real_main.
    other_files={
      'ending.cpp': (
        'extern "C" {\n'
        'int __real_main(int, char**, char**);\n'
        'long write(int, const void*, unsigned long);\n'
        'int __wrap_main(int count, char** words, char** environment) {\n'
        '  int status = __real_main(count, words, environment);\n'
        '  if (!status) write({report}, "{word}", sizeof("{word}") - 1);\n'
        '  return status;\n'
        '}\n'
        '}\n'
      )
    },
    steps=(
      ('g++', '-std=gnu++17', '-pipe', '-w', '-Wl,--wrap=main', '-o', 'program', 'program.cpp', 'ending.cpp'),
      ('./program',),
    ),
  ),
}


@functools.cache
def tool_path(tool: str) -> str | None:
  """The path of an executable, with links resolved, or None."""
  found = shutil.which(tool)
  return os.path.realpath(found) if found else None


def missing_tool(name: str) -> str | None:
  """Why programs of a language cannot run here, such as 'no php', or None if they can."""
  if name not in LANGUAGES:
    return f'no toolchain for {name}' if name else 'no language given'
  missing = [tool for tool in LANGUAGES[name].tools if tool_path(tool) is None]
  return f'no {missing[0]}' if missing else None


@dataclasses.dataclass(frozen=True)
class Run:
  """The files of a program (name -> bytes) and the commands that run it."""

  files: dict[str, bytes]
  steps: list[list[str]]


def make_ready(program: str, language: Language, limits: Limits, word: str) -> Run:
  """Files and commands that run `program` and then report `word`."""
  heap = limits.memory_bytes * 3 // 4  # the rest is the interpreter's own
  values = {
    '{word}': word,
    '{report}': str(REPORT),
    '{heap_bytes}': str(heap),
    '{heap_mib}': str(heap >> 20),
    '{typescript}': _typescript_library(),
  }

  def filled(text: str) -> str:
    return functools.reduce(lambda text, item: text.replace(*item), values.items(), text)

  files = {name: filled(content) for name, content in language.other_files.items()}
  files[language.file] = program + filled(language.ending)
  steps = [
    [tool_path(step[0]) if step[0] in language.tools else step[0], *map(filled, step[1:])]
    for step in language.steps
  ]
  # A lone surrogate, which JSON may hold, is not UTF-8: the language's own reader refuses it.
  return Run({name: text.encode('utf-8', 'surrogatepass') for name, text in files.items()}, steps)


def _typescript_library() -> str:
  compiler = tool_path('tsc')
  return str(Path(compiler).parents[1] / 'lib' / 'typescript.js') if compiler else ''


@functools.cache
def tool_versions() -> dict[str, str]:
  """The version line of each installed tool, because verdicts depend on it."""
  tools = {'bwrap', *(tool for language in LANGUAGES.values() for tool in language.tools)}
  versions = {'python': platform.python_version()}
  for tool in sorted(tools):
    if path := tool_path(tool):
      ran = subprocess.run([path, '--version'], capture_output=True, text=True, check=False)
      versions[tool] = (ran.stdout or ran.stderr).strip().partition('\n')[0]
  return versions
