"""Programming languages and markup formats: names, file endings, and their shares in the paper.

Languages go by the names of The Stack's folders, in small letters ('c-sharp',
'cpp'), which are nearly those of the paper's tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, Protocol

from codemix.checked import Name, checked
from codemix.errors import UserError, nearest

# Percent of the code documents (arXiv:2408.10914, Table 3); 99.99 in all. Strings, so as to be exact.
CODE_DOCUMENTS: Mapping[str, str] = {
  'java': '15.54',
  'javascript': '15.29',
  'php': '12.46',
  'python': '9.60',
  'c-sharp': '8.30',
  'typescript': '7.92',
  'c': '6.63',
  'cpp': '4.91',
  'go': '3.49',
  'ruby': '2.69',
  'shell': '1.82',
  'kotlin': '1.76',
  'swift': '1.52',
  'vue': '1.48',
  'rust': '1.00',
  'scala': '0.94',
  'jsx': '0.83',
  'sql': '0.74',
  'dart': '0.72',
  'makefile': '0.53',
  'lua': '0.47',
  'haskell': '0.45',
  'smalltalk': '0.43',
  'tex': '0.37',
  'clojure': '0.10',
}

# Percent of the markup documents (Table 4); 99.99 in all.
MARKUP_DOCUMENTS: Mapping[str, str] = {
  'markdown': '54.23',
  'yaml': '10.77',
  'json': '9.97',
  'html': '8.57',
  'css': '6.86',
  'scss': '5.84',
  'restructuredtext': '2.26',
  'toml': '1.25',
  'sass': '0.22',
  'rmarkdown': '0.02',
}

# Further programming languages, in all their spellings: of StarCoder's data (arXiv:2305.06161, Table 1) and others that collections of code
# often have. No markup, data or build files, and none that is above all a word, such as Reason, Processing and Logo.
_FURTHER = (
  'abap actionscript ada agda algol antlr apl applescript asm assembly autohotkey awk ballerina batchfile bluespec brainfuck cobol coffeescript '
  'coldfusion common-lisp coq crystal cuda cython d delphi eiffel elixir elm emacs-lisp erlang f# f-sharp fsharp forth fortran gdscript glsl groovy '
  'haxe hlsl idl idris isabelle java-server-pages julia lean lisp literate-agda literate-coffeescript literate-haskell livescript llvm maple '
  'mathematica matlab modula-2 nim nix objective-c objective-c++ objective-cpp ocaml octave opencl openscad pascal perl plsql powershell prolog '
  'purescript qml r racket raku rescript sas scheme scilab smali solidity sparql stan standard-ml starlark stata svelte systemverilog tcl tcsh '
  'tsql tsx vala vba verilog vhdl vim-script visual-basic wolfram webassembly xquery yacc zig'
)
FURTHER_LANGUAGES = frozenset(_FURTHER.split())

Table = Literal['code', 'markup']
TABLES: Mapping[Table, Mapping[str, str]] = {'code': CODE_DOCUMENTS, 'markup': MARKUP_DOCUMENTS}

# Endings (with their point) and whole file names, in small letters. An ending that several languages
# share stands with the commonest of them; '.h' is C.
_FILES: Mapping[str, str] = {
  'java': '.java',
  'javascript': '.js .mjs .cjs',
  'php': '.php .phtml .php3 .php4 .php5',
  'python': '.py .pyw .pyi sconstruct sconscript wscript',
  'c-sharp': '.cs .csx',
  'typescript': '.ts .tsx .mts .cts',
  'c': '.c .h .idc',
  'cpp': '.cpp .cc .cxx .c++ .hpp .hh .hxx .h++ .ipp .inl .tpp',
  'go': '.go',
  'ruby': '.rb .rake .gemspec .podspec .rbw .ru gemfile rakefile podfile vagrantfile',
  'shell': '.sh .bash .zsh .ksh .bats .bashrc .zshrc .profile',
  'kotlin': '.kt .kts',
  'swift': '.swift',
  'vue': '.vue',
  'rust': '.rs',
  'scala': '.scala .sbt .sc',
  'jsx': '.jsx',
  'sql': '.sql .ddl .dml .plsql .pgsql',
  'dart': '.dart',
  'makefile': '.mk .mak .make makefile gnumakefile',
  'lua': '.lua .rockspec',
  'haskell': '.hs .hsc',
  'smalltalk': '.st',
  'tex': '.tex .sty .cls .ltx .dtx .bib',
  'clojure': '.clj .cljs .cljc .edn',
  'markdown': '.md .markdown .mkd .mdown .mdx',
  'yaml': '.yml .yaml',
  'json': '.json .jsonl .geojson .webmanifest',
  'html': '.html .htm .xhtml',
  'css': '.css',
  'scss': '.scss',
  'restructuredtext': '.rst .rest',
  'toml': '.toml',
  'sass': '.sass',
  'rmarkdown': '.rmd',
}

LANGUAGE_OF_FILE: Mapping[str, str] = {
  file: language for language, files in _FILES.items() for file in files.split()
}

# Other spellings, in small letters.
_ALIASES: Mapping[str, str] = {
  'c#': 'c-sharp',
  'csharp': 'c-sharp',
  'c_sharp': 'c-sharp',
  'c++': 'cpp',
  'golang': 'go',
  'js': 'javascript',
  'ts': 'typescript',
  'py': 'python',
  'rst': 'restructuredtext',
  'r markdown': 'rmarkdown',
  'bash': 'shell',
  'latex': 'tex',
  'yml': 'yaml',
  'md': 'markdown',
}


def canonical(name: str) -> str:
  """The name that codemix uses for a language: 'C#' -> 'c-sharp', 'Rust' -> 'rust'; unknown ones in small letters."""
  lower = name.strip().lower()
  return _ALIASES.get(lower, lower)


def is_programming_language(name: str) -> bool:
  """Whether programs are written in a language: 'C#', 'Emacs Lisp' and 'Julia', and not 'TeX', 'Markdown' or one that is not known."""
  found = re.sub('[_ ]', '-', canonical(name))
  return (found in CODE_DOCUMENTS or found in FURTHER_LANGUAGES) and found != 'tex'  # of text, although the paper counts it as code: arXiv's papers are TeX


def language_of(path: str) -> str:
  """The language of a file by its name, '' where the name is not known."""
  file = PurePosixPath(path)
  return LANGUAGE_OF_FILE.get(file.name.lower()) or LANGUAGE_OF_FILE.get(file.suffix.lower(), '')


class Labelled(Protocol):
  """What is known of a document besides its text: the attributes of a `Record`."""

  source: str
  language: str
  id: str


def of_record(record: Labelled) -> str:
  """The language of a document by its label, else by its path; '' where neither says it."""
  return canonical(record.language) or language_of(record.id)


def require_known(record: Labelled, known: Sequence[str], who: str) -> None:
  """Raises UserError where the language of a record is not one of those that a part of a corpus, `who`, knows."""
  if (language := of_record(record)) in known:
    return
  said = f"is in '{language}'" if language else 'has no language'
  raise UserError(
    f"{who} knows {', '.join(known)}, and the document '{record.id}' of '{record.source}' {said}. Keep what it knows with @Languages() in "
    "Corpus.filters, or give the language where the layout does not: Text.constants = {'language': 'python'}."
  )


@checked
def language_shares(table: Table, source: Name = '{language}', without: Sequence[Name] = ()) -> dict[str, str]:
  """One of the paper's tables as the weights of tasks, for `by_documents` or `in_ratio`.

  Args:
    table: 'code' (Table 3) or 'markup' (Table 4).
    source: the tasks' name, with '{language}' in it.
    without: languages that are left out.

  Raises UserError: there is no such table, it has no such language, or '{language}' is not in
  `source`.
  """
  if '{language}' not in source:
    raise UserError(f"language_shares.source is '{source}', the same for every language; put {{language}} into it.")
  return {
    source_name(source, language): share for language, share in language_table(table, without).items()
  }


def language_table(table: Table, without: Sequence[str] = ()) -> dict[str, str]:
  """The languages of a table with their percentages; arguments and errors as of `language_shares`."""
  shares = TABLES[table]
  for language in without:
    if language not in shares:
      raise UserError(f"'{language}' is left out of table '{table}', which does not have it.{nearest(language, shares)}")
  return {language: share for language, share in shares.items() if language not in without}


def source_name(pattern: str, language: str) -> str:
  """A task's name: '{language}' in the pattern replaced, in the characters that such a name may have."""
  return pattern.replace('{language}', re.sub(r'\W', '_', language))
