"""A SeqIO mixture becomes a codemix mixture whose shares are SeqIO's probabilities."""

from __future__ import annotations

import collections
import functools
import math
from fractions import Fraction

import pytest
import seqio
import tensorflow as tf

from codemix.data.mixtures.forms import in_ratio, swap
from codemix.data.mixtures.mixture import parse_mixture
from codemix.data.seqio.mixture_rates import mixture_rates, read_rates
from codemix.data.seqio.mixtures import expand, load_rates, named, save_rates, seqio_mixture
from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.settings import Data
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError

SIZES = {'mix_wiki': 700, 'mix_books': 90, 'mix_java': 400, 'mix_python': 1600}
DRAWN = 20_000


@pytest.fixture(autouse=True)
def tasks():
  """Four tasks, each of whose examples names it by its first byte."""
  for number, (name, size) in enumerate(SIZES.items()):
    make = lambda split, shuffle_files, seed=None, n=number, size=size: tf.data.Dataset.from_tensors({'targets': [3 + n]}).repeat(size)
    seqio.TaskRegistry.add(
      name,
      source=seqio.FunctionDataSource(make, splits=('train',), num_input_examples={'train': size}),
      output_features={'targets': seqio.Feature(TokenizerVocabulary(load_tokenizer('bytes')))},
    )
  yield
  for name in SIZES:
    seqio.TaskRegistry.remove(name)


@pytest.fixture
def mixture():
  """Registers a mixture, and forgets it after the test."""
  names = []

  def registering(name, *arguments, **options):
    names.append(name)
    return seqio.MixtureRegistry.add(name, *arguments, **options)

  yield registering
  for name in names:
    seqio.MixtureRegistry.remove(name)


def shares(name, rates='tokens'):
  tree = expand(parse_mixture(seqio_mixture(name, rates)), lambda name: mixture_rates(seqio.MixtureRegistry.get(name)))
  return tree.shares()


def nested(mixture):
  by_size = functools.partial(seqio.mixing_rate_num_examples, maximum=1000, scale=0.5, temperature=2.0)
  mixture('mix_code', [('mix_java', by_size), ('mix_python', by_size)])
  mixture('mix_text', ['mix_wiki', ('mix_books', 3), ('mix_java', lambda task: 0.25)], default_rate=0.7)
  return mixture('mix_all', [('mix_text', 0.3), ('mix_code', 0.6), ('mix_python', 0.1)])


def test_shares_are_seqios_rates_nested_computed_and_summed(mixture):
  whole = nested(mixture)
  expected = {task.name: whole.get_rate(task) / whole.total_rate for task in whole.tasks}
  found = shares('mix_all')
  assert {name: float(share) for name, share in found.items()} == pytest.approx(expected, rel=1e-12)
  assert sum(found.values()) == 1 and all(isinstance(share, Fraction) for share in found.values())


def test_shares_are_the_frequencies_of_the_examples_that_seqio_draws(mixture):
  dataset = nested(mixture).get_dataset({'targets': 1}, 'train', shuffle=False, num_epochs=None)
  drawn = collections.Counter(int(example['targets'][0]) - 3 for example in dataset.take(DRAWN).as_numpy_iterator())
  for name, share in shares('mix_all').items():
    frequency = drawn[list(SIZES).index(name)] / DRAWN
    error = math.sqrt(float(share * (1 - share)) / DRAWN)
    assert abs(frequency - share) < 4 * error, (name, frequency, float(share), error)


def test_rates_are_the_decimals_that_the_user_wrote(mixture):
  mixture('mix_written', [('mix_wiki', 0.1), ('mix_books', 0.2)])
  assert shares('mix_written') == {'mix_wiki': Fraction(1, 3), 'mix_books': Fraction(2, 3)}


def test_rates_of_documents_become_shares_of_tokens_by_the_documents_lengths(mixture):
  mixture('mix_inner', [('mix_java', 1), ('mix_python', 3)])
  mixture('mix_outer', [('mix_wiki', 1), ('mix_inner', 1)])
  tree = expand(parse_mixture(seqio_mixture('mix_outer', 'documents')), lambda name: mixture_rates(seqio.MixtureRegistry.get(name)))
  with pytest.raises(UserError, match='is given by documents'):
    tree.shares()
  length = {'mix_wiki': Fraction(100), 'mix_java': Fraction(400), 'mix_python': Fraction(50)}
  tokens = {name: share * length[name] for name, share in shares('mix_outer').items()}
  for name, share in tree.resolve(length).shares().items():
    assert abs(share - tokens[name] / sum(tokens.values())) < Fraction(1, 10**11)


def test_a_seqio_mixture_stands_wherever_a_mixture_may(mixture):
  mixture('mix_code', [('mix_java', 1), ('mix_python', 1)])
  code = seqio_mixture('mix_code', 'tokens')
  rates_of = lambda name: mixture_rates(seqio.MixtureRegistry.get(name))
  for form in ({'text': 0.5, 'code': (0.5, code)}, in_ratio({'text': 2, 'code': (2, code)}), swap(code, {'text': 0.5})):
    tree = parse_mixture(form)
    assert named(tree) == ['mix_code']
    assert expand(tree, rates_of).shares() == {'text': Fraction(1, 2), 'mix_java': Fraction(1, 4), 'mix_python': Fraction(1, 4)}


WRONG = {
  'rate of .mix_wiki. in the SeqIO mixture .mix_bad. is -1.0; a rate is a finite number': [('mix_wiki', -1)],
  'is nan; a rate is': [('mix_wiki', lambda task: math.nan)],
  'cannot be computed: KeyError: .no such size': [('mix_wiki', lambda task: {}['no such size'])],
  'every rate of the SeqIO mixture .mix_bad. is 0': [('mix_wiki', 0), ('mix_books', 0.0)],
}


@pytest.mark.parametrize('says', WRONG)
def test_a_rate_that_is_none_is_named(mixture, says):
  with pytest.raises(UserError, match=says):
    mixture_rates(mixture('mix_bad', WRONG[says]))


def test_a_nested_mixture_that_is_not_registered_is_named():
  inner = seqio.Mixture('mix_unregistered', [('mix_wiki', 1)])
  with pytest.raises(UserError, match="'mix_outer' contains the mixture 'mix_unregistered', which is not registered"):
    mixture_rates(seqio.Mixture('mix_outer', [(inner, 1), ('mix_books', 1)]))


def test_names_of_no_mixture_are_refused_with_the_nearest(mixture, tmp_path):
  data = Data(directory=str(tmp_path), task_modules=())
  mixture('mix_known', [('mix_wiki', 1)])
  with pytest.raises(UserError, match="no SeqIO mixture is named 'mix_knwon'. Did you mean 'mix_known'"):
    read_rates('mix_knwon', data)
  with pytest.raises(UserError, match="'mix_wiki', which is a SeqIO task, not a mixture"):
    read_rates('mix_wiki', data)
  with pytest.raises(UserError, match='seqio_mixture.rates'):
    seqio_mixture('mix_known', 'examples')


def test_saved_rates_come_back_until_their_module_is_edited(tmp_path):
  data, module = Data(directory=str(tmp_path / 'data'), task_modules=()), tmp_path / 'my_mixtures.py'
  rates = {'name': 'mix_saved', 'parts': [{'name': 'mix_wiki', 'rate': '1.0'}]}
  with pytest.raises(UserError, match="rates of the SeqIO mixture 'mix_saved' are not in .*Run `codemix prepare`"):
    load_rates('mix_saved', data)
  module.write_text('old')
  save_rates('mix_saved', rates, [str(module)], data)
  assert load_rates('mix_saved', data) == rates
  module.write_text('edited')
  with pytest.raises(UserError, match=r'my_mixtures\.py was edited'):
    load_rates('mix_saved', data)


def test_a_task_with_the_name_of_a_corpus_is_refused(tmp_path):
  from codemix.data.corpus.corpus import Corpus

  data = Data(directory=str(tmp_path), sources={'mix_wiki': Corpus({'train': 'a.jsonl'})})
  save_rates('mix_saved', {'name': 'mix_saved', 'parts': [{'name': 'mix_wiki', 'rate': '1.0'}]}, [], data)
  with pytest.raises(UserError, match="has the task 'mix_wiki', and Data.sources has a corpus of that name"):
    load_rates('mix_saved', data)
