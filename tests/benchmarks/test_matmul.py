"""`codemix bench matmul` at a tiny side."""

from codemix.benchmarks import matmul


def test_matmuls_of_both_types_are_measured(tmp_path):
  figures = list(matmul.measure(tmp_path, matmul.Size(side=64, repeats=1)))
  assert [figure.name for figure in figures] == [
    'float32 matmuls of 64 x 64',
    'bfloat16 matmuls of 64 x 64',
  ]
  assert all(figure.value > 0 and figure.unit == 'TFLOP/s' for figure in figures)
