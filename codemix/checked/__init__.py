"""Dataclass fields and arguments checked against their annotations when an object is built.

    @dataclasses.dataclass(frozen=True)
    @checked
    class Optimizer:
      name: Literal['adamw', 'lion'] = 'adamw'
      b1: Annotated[float, From(0), Below(1)] = 0.9

    Optimizer(b1=1.5)  # UserError: Optimizer.b1 is 1.5; it is a number from 0 up to, and not including, 1.

Annotations are Python's own: `int`, `float`, `bool`, `str`, `None`, `Literal`, unions, `tuple[X, ...]`,
`Sequence[X]`, `Mapping[K, V]`, and classes. Bounds and units are given in `Annotated`. A decorated
function checks its arguments in the same way.

A value is stored in a canonical form, so that equal values have one identity: whole numbers as int (8.0 and 200e9
are whole), others as float, NumPy's scalars as Python's, lists as tuples. A value of another type is refused: True
is not a number, '8' is text, and text is not a list of letters.
"""


from codemix.checked.annotations import (
  Above,
  AnyPath,
  Below,
  From,
  Name,
  NotEmpty,
  Path,
  ReadBy,
  Seed,
  Share,
  Tokens,
  UpTo,
  Usually,
)
from codemix.checked.decorator import checked, kinds_of
from codemix.checked.messages import shown
