"""How codemix described readers, row parsers and filters before they declared versions.

A store was named by the paths of classes and digests of their code. What was prepared or streamed
then is found by the same description of the same settings. No class is added here any more.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import io
import textwrap
import tokenize
from collections.abc import Callable, Mapping

from codemix.data.corpus.identity import describe, described, is_own

# By stable name: the version that gives what the class gave then, its path, and the digest of its code.
_CLASSES = {
  'generated_by': (1, 'codemix.data.filters.appendix.GeneratedBy', '580f3f09d06817afac5904e187364d3cb3c2c8d5bc39088f186f083fe62a6259'),
  'hex_literals': (1, 'codemix.data.filters.appendix.HexLiterals', '31d8348f055c743c5ecd9649ff4bf79a2c368f836cc422060a4c6b6c0befc7f2'),
  'max_floats': (1, 'codemix.data.filters.appendix.MaxFloats', 'a41342e4ff7b4a0c6547733334e99f10e1c245b1b78de6211d5a08cb8b06502f'),
  'top_level_domain_lists': (1, 'codemix.data.filters.appendix.TopLevelDomainLists', 'faa0028ca0f8ad9ad6de9e2ea45e0e9747878e8755b49e3c112b0f9a94f8b435'),
  'encoding': (1, 'codemix.data.filters.encoding.Encoding', '835e3277af3e698deb775184d59ba1e9abe51dd8686761655f5bf2857ba316b6'),
  'exact_duplicates': (1, 'codemix.data.filters.filter.ExactDuplicates', '801d1c5d2373f0f0ec339c6bc6a88b6138104857e52305514b49f21c8dbdad97'),
  'extensions': (1, 'codemix.data.filters.selection.Extensions', '7274b033a50ef74ae529455421dab68c1823012a1d59df5d42f0b297dc7490af'),
  'languages': (1, 'codemix.data.filters.selection.Languages', '483a9fef0c83f8520deb380961c3935ede8481a37a1f9018dd3b70900a07ac58'),
  'sets': (1, 'codemix.data.filters.selection.Sets', '723eee08525c186a09be6b8f786d33f2b9fa208c209af5c36fa7441354042c3c'),
  'size': (1, 'codemix.data.filters.selection.Size', '1b28ff63b4f809aecc96b8682c24cac77c075b536c8db8a5c6ccceb0155e07fb'),
  'commit': (1, 'codemix.data.sources.commit.Commit', 'ed1e920954a61d6dc351a3a70779bc20b7952644cc14967e1473545379cfc558'),
  'json_array': (1, 'codemix.data.sources.json_array.JsonArray', '49d065457918ed2e9e0923ec83a4ec6062e44f911b9ad95d6e3e195076b78d33'),
  'json_lines': (1, 'codemix.data.sources.json_lines.JsonLines', 'cdff96cfd53189472517b54dd29061893b39ce34a13b9f66a8e84c893b2eb7fa'),
  'notebook': (2, 'codemix.data.sources.notebook.Notebook', '07da08aa1fa4327ed3b9b31c60dd4dc03b9335884da396e56584efe92c531046'),
  'parquet': (1, 'codemix.data.sources.parquet.Parquet', '17f9ea2160640bce248f110c7770aa89a8ca23d8703678a1c0eaf753c6d366d9'),
  'posts_xml': (2, 'codemix.data.sources.posts_xml.PostsXml', '51a97d3b3711ec866ea839068e7014dc247eba37ae719cd29dcdac662c103895'),
  'question': (1, 'codemix.data.sources.question.Question', 'd0c6d41e41753edba76a6742d6d172fcb61de718df9e8f5a7433635d82e2a760'),
  'template': (2, 'codemix.data.sources.template.Template', '8d738623f812b223d70bd43c54b65b445a7df4d2244d368f4afd95021546937e'),
  'text': (2, 'codemix.data.sources.text.Text', 'f54d19a89d9cb2954c3757539e7a234cc060da179a01a43fa37b2b8b6fee465a'),
  'tfds': (1, 'codemix.data.sources.tfds.Tfds', '4e6c56ee6ceaef835881b7ad10dff30e51e351d2aa11cc0d667000f2a423395b'),
  'tfrecords': (1, 'codemix.data.sources.tfrecords.TFRecords', 'ece48cfe1df4a6fcc79a0df2c03f51e5338a0c0e5c4270efb5e2a42bd5512cfe'),
  'puzzle': (2, 'codemix.data.sources.verified.Puzzle', '2f46b200ab934c6aad7faa45da5990ef2541e11d830cdf4429c9943caaae228a'),
  'verified': (1, 'codemix.data.sources.verified.Verified', 'a8d3f78cb53c0304a31ece26ba15bde136866819e23b66b969705e065ba263e8'),
  'whole_files': (1, 'codemix.data.sources.whole_files.WholeFiles', 'd00ca088fafbed8f0762c994572722058d1564a985a1260231f8c23dcd7c2388'),
  'limits': (1, 'codemix.sandbox.limits.Limits', '67ae5aa6cdb7ad9e9fe482486b2a09d2726ab9ad84b03d282203cefab73631f7'),
  'passes_tests': (1, 'codemix.sandbox.verified.PassesTests', 'a27282e9eb99bcbe48f5ce198b25649b45f661c87895868258d151f958cfba29'),
}
# Arguments that stand in the version now.
_ARGUMENTS = {
  'passes_tests': {'verdicts': 1},
  'languages': {'names': '58075cdd7bf4c1322eed69d5756334b21652a08397b23822134e0c7931acc9e0'},
}


def is_earlier(corpus_identity: Mapping) -> bool:
  """Whether the identity of a corpus, as a manifest has it, is of that time."""
  return 'kind' in corpus_identity.get('reader', {})


def earlier_described(part: object) -> dict:
  """A part as it was described then, by what is known of codemix's classes and the code of a user's."""
  description = describe(part, _earlier_definition)
  name = getattr(type(part), 'stable_name', '') if is_own(type(part)) else ''
  if isinstance(getattr(part, 'name', None), str):
    description['name'] = part.name
  if name in _ARGUMENTS:
    description['arguments'] = {**description['arguments'], **_ARGUMENTS[name]}
  return description


def stream_described(part: object) -> dict:
  """A part of a corpus that is streamed: the digest of the description is in the hashes of stages.

  So what codemix's classes were called then is kept, as long as they give what they gave; an
  edited class of a user's is another stage.
  """
  own = type(part)
  if is_own(own) and own.stable_name in _CLASSES and own.version == _CLASSES[own.stable_name][0]:
    return earlier_described(part)
  return described(part)


def without_own_code(part: object) -> object:
  """The identity of a corpus without what a release may change: versions, paths and code of codemix's classes."""
  if isinstance(part, list):
    return [without_own_code(value) for value in part]
  if not isinstance(part, Mapping):
    return part
  kept = {key: without_own_code(value) for key, value in part.items()}
  if str(kept.get('kind', '')).startswith('codemix.'):
    kept['kind'] = kept['kind'].rpartition('.')[2]
    kept.pop('code', None)
  if str(kept.get('name', '')).startswith('codemix.'):
    kept.pop('version', None)
  return kept


def _earlier_definition(thing: type | Callable) -> dict:
  if is_own(thing) and thing.stable_name in _CLASSES:
    _, path, code = _CLASSES[thing.stable_name]
    return {'kind': path, 'code': code}
  return {'kind': f'{thing.__module__}.{thing.__qualname__}', 'code': _code_digest(thing)}


@functools.cache
def _code_digest(thing: type | Callable) -> str:
  """sha256 of a class or function without its comments and docstrings; '' where it has no source."""
  try:
    source = textwrap.dedent(inspect.getsource(thing))
  except (OSError, TypeError):
    return ''
  lines = source.splitlines()
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    if token.type == tokenize.COMMENT:
      row, column = token.start
      lines[row - 1] = lines[row - 1][:column]
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
      for row in range(node.body[0].lineno, node.body[0].end_lineno + 1):
        lines[row - 1] = ''
  return hashlib.sha256('\n'.join(line.rstrip() for line in lines if line.strip()).encode()).hexdigest()
