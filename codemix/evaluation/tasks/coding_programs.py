"""Programs that test completions: (source, language) for `codemix.sandbox`."""

from __future__ import annotations

from collections.abc import Callable

from codemix.evaluation.tasks.item import Item
from codemix.sandbox.execute import Outcome, execute, in_threads
from codemix.sandbox.two_processes.program import tested_program

Program = tuple[str, str]

# What a prediction of CRUXEval may be, so that it can neither replace `f` nor name what is compared: expressions of
# data and methods, with names of builtin types, of the code's own constants (`names`) and of the expression itself.
_PREDICTION = """\
import ast
import builtins
ALLOWED = ast.Expression | ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.UnaryOp | ast.BinOp
ALLOWED |= ast.unaryop | ast.operator | ast.cmpop | ast.expr_context | ast.keyword | ast.Starred | ast.Compare
ALLOWED |= ast.Call | ast.Lambda | ast.arguments | ast.arg | ast.Subscript | ast.Slice | ast.ListComp | ast.comprehension
PLAIN = {{'set', 'frozenset', 'dict', 'list', 'tuple', 'bytes', 'bytearray', 'range', 'str', 'int', 'float', 'bool', 'len'}}
source = {source!r}.strip()
tree = ast.parse(source, mode='eval')
nodes = list(ast.walk(tree))
own = {{node.arg for node in nodes if isinstance(node, ast.arg)}}
own |= {{node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}}
# Outside of its comprehension such a name is a builtin or a global.
assert own.isdisjoint({taken!r} | set(dir(builtins))), own
for node in nodes:
  is_name = isinstance(node, ast.Name) and node.id in PLAIN | own | {names!r}
  is_method = isinstance(node, ast.Attribute) and not node.attr.startswith('_')
  is_root = isinstance(tree.body, ast.Call) and node is tree.body.func and isinstance(node, ast.Name) and {root!r} == node.id
  assert is_name or is_method or is_root or isinstance(node, ALLOWED), ast.dump(node)
"""
# The root is one call of `f`, so that the prediction cannot close the call and go on with 'or'.
_OUTPUT = """\
plain = {{'__builtins__': {{name: getattr(builtins, name) for name in PLAIN}}}}
assert eval(compile(tree, 'predicted.py', 'eval'), plain) == {expected}
"""
_INPUT = "assert isinstance(tree.body, ast.Call) and getattr(tree.body.func, 'id', '') == 'f'\nassert answer() == {expected}\n"


def tested(item: Item, completion: str, language: str) -> Program:
  """A solution with its tests; of Python, in two processes."""
  solution = item.fields['before'] + completion + '\n'
  if language != 'python':
    return solution + item.fields['tests'], language
  return tested_program(solution, item.fields['tests'], item.fields['names']), language


def predicted_output(item: Item, completion: str, language: str) -> Program:
  """Compares a predicted value with what the function returned."""
  tests = _PREDICTION.format(source=completion, names=set(), taken=set(), root='') + _OUTPUT.format(expected=item.fields['expected'])
  return tested_program('', tests, ()), language


def predicted_input(item: Item, completion: str, language: str) -> Program:
  """Calls the function with predicted arguments."""
  call, names, taken = f'f({completion.strip()}', set(item.fields['constants']), set(item.fields['defined'])
  tests = _PREDICTION.format(source=call, names=names, taken=taken, root='f') + _INPUT.format(expected=item.fields['expected'])
  return tested_program(f'{item.fields["before"]}\n\ndef answer():\n  return {call}\n', tests, ['answer']), language


Build = Callable[[Item, str, str], Program]


def execute_each(programs: list[Program], show: Callable[[int], None], unsafe: bool) -> list[Outcome]:
  """The outcome of each program; equal programs are executed once.

  Args:
    show: called with the number of distinct programs executed so far.

  Raises UserError if there is no sandbox and `unsafe` is False.
  """
  distinct = list(dict.fromkeys(programs))
  done = []

  def run(program: Program) -> Outcome:
    outcome = execute(*program, unsafe=unsafe)
    done.append(None)
    show(len(done))
    return outcome

  return [*map(dict(zip(distinct, in_threads(run, distinct), strict=True)).__getitem__, programs)]

