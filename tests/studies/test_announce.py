import io

from rich.console import Console

from codemix.data.mixture import parse_mixture
from codemix.studies.announce import mixture_tree


def test_a_mixture_is_a_tree_with_the_share_tokens_and_epochs_of_each_source():
  mixture = parse_mixture({'text': 0.5, 'code': (0.5, {'web': 0.8, 'markup': 0.2})})
  console = Console(record=True, width=100, file=io.StringIO())
  console.print(mixture_tree(mixture, 1_000_000, {'text': 250_000, 'web': 800_000, 'markup': None}))
  said = [line.strip('│├└─ ') for line in console.export_text().splitlines()]
  assert said == [
    'mixture 100.00%, 1.00M tokens',
    'text 50.00%, 500k tokens, 2.000 epochs',
    'code 50.00%, 500k tokens',
    'web 40.00%, 400k tokens, 0.500 epochs',
    'markup 10.00%, 100k tokens',
  ]
