from codemix.data.store.describe import describe, first_documents
from codemix.data.tokenization.tokenizer import load_tokenizer
from tests.data.stores import make_store


def test_the_figures_are_those_of_the_documents(tmp_path):
  described = describe(make_store(tmp_path, [4, 1, 9, 4, 100]))
  assert (described['documents'], described['tokens']) == (5, 118)
  assert described['lengths']['tokens']['mean'] == 118 / 5
  assert described['lengths']['tokens']['quantiles']['0'] == 1
  assert described['lengths']['tokens']['quantiles']['0.5'] == 4
  assert described['lengths']['tokens']['quantiles']['1'] == 100
  assert described['lengths']['histogram'] == [[1, 1, 1], [4, 2, 8], [8, 1, 9], [64, 1, 100]]


def test_the_first_documents_are_shown_each_from_its_beginning(tmp_path):
  store = make_store(tmp_path, [4, 1, 9], shards=1)
  tokenizer = load_tokenizer('bytes')
  shown = first_documents(store, tokenizer, 2, tokens=3)
  assert shown == [tokenizer.decode(store.read(0, 3).tolist()), tokenizer.decode(store.read(4, 5).tolist())]
