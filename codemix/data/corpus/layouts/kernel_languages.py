"""The language of a Jupyter kernel by its name, for notebooks that do not say it otherwise."""

from __future__ import annotations

import re

# First words of kernels' names and of the names that they show ('python3', 'Python 3 (ipykernel)', 'conda-env-lab-py').
_KERNELS: dict[str, str] = {
  'bash': 'bash calysto_bash',
  'c': 'c c_kernel',
  'c#': 'c# csharp',
  'c++': 'c++ xcpp cling cpp',
  'clojure': 'clojure',
  'f#': 'f# fsharp ifsharp',
  'gnuplot': 'gnuplot',
  'go': 'go gophernotes',
  'groovy': 'groovy',
  'haskell': 'haskell ihaskell',
  'java': 'java ijava rapaio',
  'javascript': 'javascript ijavascript jslab nodejs xjavascript babel',
  'julia': 'julia ijulia',
  'kotlin': 'kotlin',
  'lua': 'lua ilua xlua',
  'matlab': 'matlab imatlab',
  'octave': 'octave',
  'ocaml': 'ocaml',
  'perl': 'perl iperl',
  'php': 'php',
  'powershell': 'powershell pwsh',
  'python': 'python ipython python2 python3 pypy pyspark pysparkkernel xpython xeus-python ipykernel',
  'r': 'r ir irkernel sparkr sparkrkernel xr',
  'raku': 'raku',
  'ruby': 'ruby iruby',
  'rust': 'rust evcxr',
  'sas': 'sas saspy',
  'scala': 'scala almond spylon spark sparkkernel',
  'sql': 'sql xsql',
  'stata': 'stata nbstata',
  'swift': 'swift',
  'typescript': 'typescript tslab deno',
}
LANGUAGE_OF_KERNEL = {kernel: language for language, kernels in _KERNELS.items() for kernel in kernels.split()}
_OF_CONDA = {'py': 'python', 'r': 'r'}  # last words of the kernels that nb_conda_kernels finds

_NO_LANGUAGES = ('jupyter', '.net', 'apache', 'toree')  # .NET and Apache Toree are kernels of several languages

_WORD = re.compile(r'[a-z][a-z_]*[#+]*')


def language_of_kernel(name: str) -> str:
  """'ir' -> 'r', 'julia-1.9' -> 'julia', 'Python 3 (ipykernel)' -> 'python'; '' for a name that does not say."""
  name = name.strip().lower()
  if name.startswith('conda-'):
    return _OF_CONDA.get(name.rpartition('-')[2], '')
  for prefix in _NO_LANGUAGES:
    name = name.removeprefix(prefix).lstrip(' -_(')
  first = re.split(r'[\s\-()\[\].]', name)[0]
  if first in LANGUAGE_OF_KERNEL:
    return LANGUAGE_OF_KERNEL[first]
  bare = _WORD.match(first)  # without a version that is written right behind it: 'python3', 'xcpp17', 'scala212'
  return LANGUAGE_OF_KERNEL.get(bare[0].rstrip('_'), '') if bare and not first[bare.end() :].strip('0123456789_') else ''
