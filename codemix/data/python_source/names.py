"""Names that belong to Python, and not to a program.

The lists are written here, and not asked of the Python that runs, so that every version of Python keeps the same names.
"""

from __future__ import annotations

import re

# Keywords of 2.7 to 3.13, those that are keywords in some places only ('match', '_') among them.
_KEYWORDS = '''
  False None True _ and as assert async await break case class continue def del elif else except exec finally for from
  global if import in is lambda match nonlocal not or pass print raise return try type while with yield
'''
KEYWORDS = frozenset(_KEYWORDS.split())

# The module `builtins` of 3.13, and `__builtin__` of 2.7.
_BUILTINS = '''
  ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError
  BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError
  ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError Exception ExceptionGroup
  FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning
  IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError
  ModuleNotFoundError NameError NotADirectoryError NotImplemented NotImplementedError OSError OverflowError
  PendingDeprecationWarning PermissionError ProcessLookupError PythonFinalizationError RecursionError ReferenceError
  ResourceWarning RuntimeError RuntimeWarning StandardError StopAsyncIteration StopIteration SyntaxError SyntaxWarning
  SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError
  UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning ZeroDivisionError abs aiter all
  anext any apply ascii basestring bin bool breakpoint buffer bytearray bytes callable chr classmethod cmp coerce
  compile complex copyright credits delattr dict dir divmod enumerate eval exec execfile exit file filter float format
  frozenset getattr globals hasattr hash help hex id input int intern isinstance issubclass iter len license list
  locals long map max memoryview min next object oct open ord pow print property quit range raw_input reduce reload
  repr reversed round set setattr slice sorted staticmethod str sum super tuple type unichr unicode vars xrange zip
'''
BUILTINS = frozenset(_BUILTINS.split())

# What may stand behind `from __future__ import`: another name there is an error.
_FEATURES = '''
  absolute_import annotations barry_as_FLUFL division generator_stop generators nested_scopes print_function
  unicode_literals with_statement
'''
FEATURES = frozenset(_FEATURES.split())

_SPECIAL = re.compile(r'__\w+__')  # such as `__init__`, which Python calls


def is_pythons(name: str) -> bool:
  """Whether a name means something to Python: a keyword, a builtin, a feature, or one such as `__init__`."""
  return name in KEYWORDS or name in BUILTINS or name in FEATURES or _SPECIAL.fullmatch(name) is not None
