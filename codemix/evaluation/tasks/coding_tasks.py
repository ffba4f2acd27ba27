"""The code benchmarks that ship."""

from __future__ import annotations

from codemix.data.evaluation_sets.folder import Wanted
from codemix.evaluation.tasks.coding import Coding
from codemix.evaluation.tasks.coding_problems import (
  Ends,
  ProblemFile,
  crux_input,
  crux_output,
  human_eval,
  mbpp,
)
from codemix.evaluation.tasks.coding_programs import predicted_input, predicted_output, tested
from codemix.models.decoding import Decoding

# Chen et al. (arXiv:2107.03374, section 2.1) stop at these; a solution of HumanEval is indented.
_PYTHON_BODY = Ends(('\nclass', '\ndef', '\n#', '\nif', '\nprint'))
# A solution of MBPP may have classes, functions and comments of its own; it ends where a next problem or a use begins.
_PYTHON_MODULE = Ends(('\n"""', '\nassert', '\nprint', '\nif ', '\n```'))
_LINE = Ends(('\n',))
_BRACE = Ends(('\n}',), '\n}\n')

_MXEVAL = 'github.com/amazon-science/mxeval, data/multilingual_humaneval'
# Language -> (name of upstream's file, where a completion ends).
_TRANSLATIONS = {
  'javascript': ('HumanEval_javascript_v1.1', _BRACE),
  'typescript': ('HumanEval_typescript_v1', _BRACE),
  'php': ('HumanEval_php_v1.1', _BRACE),
  'ruby': ('HumanEval_ruby_v1.1', Ends(('\nend',), '\nend\n')),
  'java': ('HumanEval_java_v1.1', Ends(('\n    }',), '\n    }\n}\n')),
  'go': ('HumanEval_go_v1', _BRACE),
  'kotlin': ('HumanEval_kotlin_v1.1', _BRACE),
  'perl': ('HumanEval_perl_v1.1', _BRACE),
  'scala': ('HumanEval_scala_v1.1', Ends(('\n    }',), '\n    }\n')),
  'swift': ('HumanEval_swift_v1.1', _BRACE),
  'csharp': ('HumanEval_csharp_v1', Ends(('\n        }',), '\n        }\n')),
}

_HUMAN_EVAL = Wanted(('humaneval/HumanEval.jsonl',), 'github.com/openai/human-eval, data/HumanEval.jsonl.gz')
_MBPP_AT = 'github.com/google-research/google-research, mbpp'
_MBPP = Wanted(('mbpp/mbpp.jsonl',), f'{_MBPP_AT}/mbpp.jsonl')
_SANITIZED = Wanted(('mbpp/sanitized-mbpp.json',), f'{_MBPP_AT}/sanitized-mbpp.json')
_CRUX = Wanted(('cruxeval/cruxeval.jsonl',), 'github.com/facebookresearch/cruxeval, data/cruxeval.jsonl')


def _is_mbpp_test(id: str) -> bool:
  """Upstream's split: problems 11 to 510 are the test set, 500 of the 974."""
  return 11 <= int(id) <= 510


def _is_mbpp_prompt(id: str) -> bool:
  """Upstream's split: problems 1 to 10 are for few-shot prompts."""
  return 1 <= int(id) <= 10


def _mbpp(name: str, wanted: Wanted, **options) -> Coding:
  return Coding(name, ProblemFile(wanted, mbpp), tested, _PYTHON_MODULE, example=_is_mbpp_prompt, **options)


_SHORT = Decoding(max_new_tokens=256)
TASKS: tuple[Coding, ...] = (
  Coding('humaneval', ProblemFile(_HUMAN_EVAL, human_eval), tested, _PYTHON_BODY),
  _mbpp('mbpp', _MBPP, reported=_is_mbpp_test),
  _mbpp('mbpp_all', _MBPP),
  _mbpp('mbpp_sanitized', _SANITIZED, reported=_is_mbpp_test),
  Coding('cruxeval_input', ProblemFile(_CRUX, crux_input), predicted_input, _LINE, _SHORT),
  Coding('cruxeval_output', ProblemFile(_CRUX, crux_output), predicted_output, _LINE, _SHORT),
  *(
    Coding(
      f'humaneval_{language}',
      ProblemFile(Wanted((f'multilingual_humaneval/{file}.jsonl',), f'{_MXEVAL}/{file}.jsonl'), human_eval),
      tested,
      ends,
      language=language,
      needs=(('lodash', "require('lodash')"),) if language == 'javascript' else (),
    )
    for language, (file, ends) in _TRANSLATIONS.items()
  ),
)
