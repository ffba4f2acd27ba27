"""Fields that check themselves: an annotation says what a value may be, and it is checked when the object is built.

    @dataclasses.dataclass(frozen=True)
    @checked
    class Optimizer:
      name: Literal['adamw', 'lion'] = 'adamw'
      b1: Annotated[float, From(0), Below(1)] = 0.9

    Optimizer(b1=1.5)  # UserError: Optimizer.b1 is 1.5; it is a number from 0 up to, and not including, 1.

Annotations are Python's own: `int`, `float`, `bool`, `str`, `None`, `Literal`, unions, `tuple[X, ...]`,
`Sequence[X]`, `Mapping[K, V]`, and classes. Bounds, and a unit in words, stand in `Annotated`. Functions are
decorated alike, and their arguments are checked.

A value is stored in one form, so that equal values have one identity: a whole number as int (8.0 is 8, and 200e9
is a whole number), another as float, NumPy's scalars as Python's, lists as tuples. A value of another type is
refused: True is not a number, '8' is text, and text is not a list of its letters.
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

__all__ = [
  'Above',
  'AnyPath',
  'Below',
  'From',
  'Name',
  'NotEmpty',
  'Path',
  'ReadBy',
  'Seed',
  'Share',
  'Tokens',
  'UpTo',
  'Usually',
  'checked',
  'kinds_of',
  'shown',
]
