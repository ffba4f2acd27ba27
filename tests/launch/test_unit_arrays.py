"""Units as job arrays: every unit is in one, and waits there for the unit that it needs and for no other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codemix.launch.unit_arrays import unit_arrays


@st.composite
def studies(draw) -> dict[str, tuple[str, ...]]:
  """Stages that begin with one before, or none, and their evaluations, of which some are done."""
  needs = {}
  for number in range(draw(st.integers(1, 14))):
    parent = draw(st.none() | st.sampled_from(range(number))) if number else None
    needs[f'train/{number}'] = () if parent is None else (f'train/{parent}',)
    if draw(st.booleans()):
      needs[f'evaluate/{number}'] = (f'train/{number}',)
  return needs


@given(studies(), st.integers(1, 5))
def test_every_unit_waits_for_the_one_that_it_needs_and_for_no_other(needs, most):
  arrays = unit_arrays(needs, most)
  seen, waits = {None: {}}, {}
  for array in arrays:
    assert array.name not in seen and 1 <= len(array.units) <= most and max(array.units) < most
    assert len({key.partition('/')[0] for key in array.units.values()}) == 1
    for index, key in array.units.items():
      assert key not in waits
      waits[key] = (seen[array.needs][index if array.task is None else array.task],) if array.needs else ()
    seen[array.name] = array.units
  assert waits == needs


def test_a_stage_of_all_seeds_is_one_array():
  needs = {}
  for seed in range(3):
    needs |= {f'train/a{seed}': (), f'evaluate/a{seed}': (f'train/a{seed}',), f'train/b{seed}': (f'train/a{seed}',), f'evaluate/b{seed}': (f'train/b{seed}',)}
  found = [(array.name, len(array.units), array.needs, array.task) for array in unit_arrays(needs)]
  assert found == [('train-1', 3, None, None), ('train-2', 3, 'train-1', None), ('evaluate-3', 3, 'train-1', None), ('evaluate-4', 3, 'train-2', None)]


def test_stages_that_begin_with_the_same_one_are_one_array_that_waits_for_its_task():
  needs = {'train/base': (), **{f'train/arm{number}': ('train/base',) for number in range(9)}}
  found = [(array.name, list(array.units), array.needs, array.task) for array in unit_arrays(needs)]
  assert found == [('train-1', [0], None, None), ('train-2', list(range(9)), 'train-1', 0)]


def test_units_whose_index_has_gaps_keep_those_of_the_units_that_they_need():
  needs = {'train/a': (), 'train/b': (), 'train/c': (), 'train/d': ('train/a',), 'train/e': ('train/c',)}
  assert unit_arrays(needs)[1].units == {0: 'train/d', 2: 'train/e'}
