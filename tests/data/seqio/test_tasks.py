"""SeqIO tasks over JSON lines give each record once, whole, as tokens that end with EOS."""

import dataclasses
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import seqio
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data import settings as data_settings
from codemix.data.corpus.corpus import Corpus
from codemix.data.local_corpora import Extent, build_local_corpora
from codemix.data.seqio import tasks
from codemix.data.seqio.corpus_task import CorpusDataSource
from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.store.digests import earlier_seal
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from codemix.identity import digest

BYTES = load_tokenizer('bytes')


@pytest.fixture(scope='module')
def small_corpora(tmp_path_factory):
  """Corpora of a few modules, where the tasks look for them."""
  root = tmp_path_factory.mktemp('data')
  built = build_local_corpora(
    root / 'corpora',
    distributions=(),
    modules=('argparse', 'email', 'json', 'logging'),
    code=Extent(100_000, 300_000, 9_000, 10),
    text=Extent(30_000, 300_000, 5_000, 10),
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('CODEMIX_DATA_DIR', str(root))
    yield built


@pytest.fixture
def register():
  """`register_jsonl_task` that is undone after the test."""
  names = []

  def registering(name, *arguments):
    task = tasks.register_jsonl_task(name, *arguments)
    names.append(name)
    return task

  yield registering
  for name in names:
    seqio.TaskRegistry.remove(name)


def write(path, records):
  opened = gzip.open if path.suffix == '.gz' else open
  with opened(path, 'wt', encoding='utf-8') as file:
    file.writelines(json.dumps(record) + '\n' for record in records)
  return str(path)


def examples(task, split='train', length=None, shard=None):
  dataset = task.get_dataset(
    sequence_length=None if length is None else {'targets': length},
    split=split,
    shuffle=False,
    shard_info=shard,
  )
  return list(dataset.as_numpy_iterator())


def texts(found):
  return [example['targets_pretokenized'].decode() for example in found]


# The corpora of the Python installation.


@pytest.mark.parametrize('name', ['local_text', 'local_code'])
@pytest.mark.parametrize('split', ['train', 'validation'])
def test_a_local_task_gives_the_records_of_its_corpus_in_order(small_corpora, name, split):
  part = small_corpora.corpora[name][split]
  with part.path.open(encoding='utf-8') as lines:
    records = [json.loads(line) for line in lines]
  found = examples(seqio.get_mixture_or_task(name), split)
  assert texts(found) == [record['text'] for record in records]
  for key in ('source', 'language', 'id'):
    assert [example[key].decode() for example in found] == [record[key] for record in records]
  for example in found:
    *ids, eos = example['targets'].tolist()
    assert eos == BYTES.eos_id
    assert BYTES.decode_bytes(ids) == example['targets_pretokenized']


def test_a_local_task_is_trimmed_like_any_other(small_corpora):
  found = examples(seqio.get_mixture_or_task('local_text'), 'validation', length=128)
  assert {len(example['targets']) for example in found} == {128}


def test_a_local_source_knows_its_number_of_documents(small_corpora):
  task = seqio.get_mixture_or_task('local_code')
  assert task.num_input_examples('train') == len(examples(task, 'train'))


def test_local_tasks_mix_like_any_others(small_corpora):
  mixture = seqio.MixtureRegistry.add('both', [('local_text', 1), ('local_code', 1)])
  try:
    dataset = mixture.get_dataset({'targets': 64}, 'train', shuffle=False, num_epochs=1)
    assert {len(example['targets']) for example in dataset.as_numpy_iterator()} == {64}
  finally:
    seqio.MixtureRegistry.remove('both')


def test_the_folder_is_the_users_or_in_the_cache(monkeypatch, tmp_path):
  monkeypatch.setenv('CODEMIX_DATA_DIR', str(tmp_path))
  assert data_settings.corpora_directory() == tmp_path / 'corpora'
  monkeypatch.delenv('CODEMIX_DATA_DIR')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  assert data_settings.corpora_directory() == tmp_path / 'cache' / 'codemix' / 'corpora'


def test_importing_the_tasks_builds_nothing(tmp_path):
  subprocess.run(
    [sys.executable, '-c', 'import codemix.data.seqio.tasks'],
    env={**os.environ, 'CODEMIX_DATA_DIR': str(tmp_path)},
    cwd=Path(__file__).parents[3],
    check=True,
  )
  assert not list(tmp_path.iterdir())


def test_another_vocabulary_takes_the_place_of_bytes(small_corpora, tmp_path):
  task = seqio.get_mixture_or_task('local_text')
  tokenizer = train_bpe(texts(examples(task, 'validation')), 300, tmp_path / 'bpe.json')
  feature = dataclasses.replace(
    task.output_features['targets'], vocabulary=TokenizerVocabulary(tokenizer)
  )
  for example in examples(task.replace(output_features={'targets': feature}), 'validation'):
    *ids, eos = example['targets'].tolist()
    assert eos == tokenizer.eos_id
    assert ids == tokenizer.encode(example['targets_pretokenized'])


# A user's own files.


def test_plain_and_compressed_files_and_several_patterns_are_one_split(register, tmp_path):
  records = [{'text': f'text {number}', 'rest': [number]} for number in range(30)]
  write(tmp_path / 'a.jsonl', records[:10])
  write(tmp_path / 'b.jsonl.gz', records[10:20])
  write(tmp_path / 'other.jsonl', records[20:])
  patterns = [f'{tmp_path}/[ab].jsonl*', f'{tmp_path}/other.jsonl']
  task = register('mine', {'train': patterns})
  assert sorted(texts(examples(task))) == sorted(record['text'] for record in records)
  assert seqio.get_mixture_or_task('mine') is task


@pytest.mark.parametrize('text', ['naïve 数 \U0001f600 \0', 'line\nline\r\n', '\ud800 alone'])
def test_any_text_comes_through(register, tmp_path, text):
  path = write(tmp_path / 'a.jsonl', [{'text': text}])
  (example,) = examples(register('mine', {'train': path}))
  assert example['targets_pretokenized'] == text.encode(errors='replace')


@given(files=st.integers(1, 4), records=st.integers(1, 12), shards=st.integers(1, 6))
@settings(max_examples=12, deadline=None)
def test_shards_are_a_partition_of_the_records(tmp_path_factory, files, records, shards):
  folder = tmp_path_factory.mktemp('shards')
  expected = [f'{file}-{record}' for file in range(files) for record in range(records)]
  for file in range(files):
    own = [{'text': text} for text in expected if text.startswith(f'{file}-')]
    write(folder / f'{file}.jsonl', own)
  source = CorpusDataSource(Corpus({'train': f'{folder}/*.jsonl'}))
  found = [
    record['text'].decode()
    for index in range(shards)
    for record in source.get_dataset(
      'train', shuffle=False, shard_info=seqio.ShardInfo(index, shards)
    ).as_numpy_iterator()
  ]
  assert sorted(found) == sorted(expected)


def test_the_order_is_the_same_each_time(register, tmp_path):
  for file in range(3):
    write(tmp_path / f'{file}.jsonl', [{'text': f'{file} {line}'} for line in range(50)])
  task = register('mine', {'train': f'{tmp_path}/*.jsonl'})
  assert texts(examples(task)) == texts(examples(task))


@pytest.mark.parametrize(
  ('file', 'field', 'documents'),
  [
    ('corpora/text/c4/validation.jsonl.gz', 'text', 200),
    ('corpora/math/gsm8k/train.jsonl.gz', 'question', 7473),
    ('corpora/code/card2code/hearthstone.jsonl.gz', 'text', 665),
    ('eval/gsm8k/test.jsonl', 'answer', 1319),
  ],
)
def test_real_files_are_read_whole(register, shared_data, file, field, documents):
  path = shared_data / file
  with (gzip.open if path.suffix == '.gz' else open)(path, 'rt', encoding='utf-8') as lines:
    expected = [json.loads(line)[field] for line in lines]
  assert len(expected) == documents
  task = register('real', {'train': str(path)}, field)
  assert texts(examples(task)) == expected


def test_a_taken_name_is_refused(register, tmp_path):
  with pytest.raises(UserError, match="'local_text' is registered already"):
    register('local_text', {'train': str(tmp_path / 'a.jsonl')})


def test_missing_files_are_named(register, tmp_path):
  task = register('mine', {'train': str(tmp_path / 'absent-*.jsonl')})
  with pytest.raises(UserError, match=r'no file matches .*absent-\*.jsonl'):
    examples(task)


def test_a_missing_field_is_named_with_the_nearest_one(register, tmp_path):
  path = write(tmp_path / 'a.jsonl', [{'texts': 'a', 'id': 1}])
  task = register('mine', {'train': path})
  with pytest.raises(
    UserError,
    match=r"'mine': no record has the field 'text' .*a.jsonl:1; its fields are id, texts.* Did you mean 'texts'",
  ):
    examples(task)


def test_documents_without_text_and_blank_lines_are_left_out(register, tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "one"}\n\n{"text": ""}\n  \n{"text": null}\n{"text": "two"}\n')
  assert texts(examples(register('mine', {'train': str(path)}))) == ['one', 'two']


def test_a_few_damaged_lines_of_many_are_left_out(register, tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "good"}\n' * 150 + '{"text": "cut\n' + '{"text": "last"}\n')
  assert texts(examples(register('mine', {'train': str(path)}))) == ['good'] * 150 + ['last']


@pytest.mark.parametrize('line', ['{"text": "cut', '["text"]', '{"text": 3}', '{}'])
def test_too_many_damaged_lines_are_named_by_file_and_number(register, tmp_path, line):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "good"}\n' * 4 + line + '\n' + '{"text": "good"}\n')
  task = register('mine', {'train': str(path)})
  with pytest.raises(tf.errors.OpError, match='a.jsonl:5: '):
    examples(task)


def test_a_damaged_archive_is_named(register, tmp_path):
  (tmp_path / 'a.jsonl.gz').write_text('{"text": "not compressed"}\n')
  task = register('mine', {'train': str(tmp_path / '*.gz')})
  with pytest.raises(UserError, match=r'no record can be read.*a.jsonl.gz: damaged file'):
    examples(task)


# What a store of a task was made from.


@pytest.fixture
def function_task(tmp_path):
  """Registers a task anew: `make(read, step)` with a function that reads and one that is applied."""
  name = 'of_functions'

  def make(read, step):
    if name in seqio.TaskRegistry.names():
      seqio.TaskRegistry.remove(name)
    feature = seqio.Feature(TokenizerVocabulary(BYTES))
    return seqio.TaskRegistry.add(
      name,
      source=seqio.FunctionDataSource(read, splits=('train',)),
      preprocessors=[step, seqio.preprocessors.tokenize],
      output_features={'targets': feature},
    )

  yield make
  if name in seqio.TaskRegistry.names():
    seqio.TaskRegistry.remove(name)


def _task_store(tmp_path, again=False):
  from codemix.data.prepare.source import prepare
  from codemix.data.settings import Data

  said = []
  data = Data(directory=str(tmp_path / 'data'), tokenizer='bytes', task_modules=(), shards=1)
  store = prepare('of_functions', 'train', data, BYTES, said.append, again)
  return BYTES.decode(store.read(0, store.tokens).tolist()), store, said, data


def _lines_of(path):
  def read(split, shuffle_files, seed=None):
    return tf.data.TextLineDataset(str(path)).map(lambda line: {'targets': line})

  return read


def _with_end(end):
  def step(dataset):
    return dataset.map(lambda row: {'targets': row['targets'] + end})

  return step


def test_an_edited_file_of_a_function_and_a_value_of_a_preprocessor_make_other_stores(function_task, tmp_path):
  path = tmp_path / 'lines.txt'
  path.write_text('old\n')
  function_task(_lines_of(path), _with_end('!'))
  text, first, _, data = _task_store(tmp_path)
  assert text == 'old!'
  path.write_text('new, longer\n')
  with pytest.raises(UserError, match="lines.txt was edited after 'of_functions' was prepared"):
    data.open_store('of_functions', 'train', BYTES)
  assert _task_store(tmp_path)[0] == 'new, longer!'
  function_task(_lines_of(path), _with_end('?'))
  text, last, _, _ = _task_store(tmp_path)
  assert text == 'new, longer?' and last.folder != first.folder


def test_what_a_function_reads_unseen_is_said_and_can_be_prepared_again(function_task, tmp_path):
  hidden = {'folder': tmp_path}

  def read(split, shuffle_files, seed=None):
    return tf.data.TextLineDataset(str(hidden['folder'] / 'unseen')).map(lambda line: {'targets': line})

  (tmp_path / 'unseen').write_text('old\n')
  function_task(read, _with_end(''))
  assert _task_store(tmp_path)[0] == 'old'
  (tmp_path / 'unseen').write_text('new\n')
  text, store, [said], _ = _task_store(tmp_path)
  assert text == 'old'
  assert 'was prepared before, and codemix cannot find out whether it has changed: what its function reads' in said
  assert 'codemix prepare --again' in said
  text, again, _, data = _task_store(tmp_path, again=True)
  assert text == 'new' and again.folder == store.folder
  assert data.open_store('of_functions', 'train', BYTES).digest == again.digest != store.digest


def test_a_store_of_a_task_that_an_older_codemix_prepared_is_used_and_said_so(function_task, tmp_path):
  (tmp_path / 'lines.txt').write_text('a line\n')
  function_task(_lines_of(tmp_path / 'lines.txt'), _with_end('!'))
  _, store, _, _ = _task_store(tmp_path)
  manifest = json.loads((store.folder / 'manifest.json').read_text())
  step, tokenize = manifest['identity']['preprocessors']
  manifest['identity']['preprocessors'] = [
    {'name': f'tests.{step["name"]}', 'source': 'of its text', 'closure': step['reads']},
    {**tokenize, 'source': 'of its text'},
  ]
  manifest['seal'] = earlier_seal(manifest)
  (store.folder / 'manifest.json').write_text(json.dumps(manifest))
  older = store.folder.rename(store.folder.with_name(f'of_functions-train-{digest(manifest["identity"])[:12]}'))
  text, found, said, data = _task_store(tmp_path)
  assert text == 'a line!' and found.folder == older
  assert 'prepared by an older codemix' in said[0] and 'the code of its functions' in said[0]
  assert data.open_store('of_functions', 'train', BYTES).folder == older
  assert _task_store(tmp_path, again=True)[1].folder == store.folder


# The name that the module had before.


def test_the_former_name_of_the_module_still_registers_the_tasks_with_one_warning():
  script = (
    'from codemix.data.settings import Data\nfrom codemix.data.seqio.registry import find_task, import_tasks\n'
    "for _ in range(2):\n  import_tasks(Data(task_modules=('codemix.data.tasks',)))\nprint(find_task('local_text', 'train').name)"
  )
  ran = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
  assert ran.stdout == 'local_text\n'
  assert ran.stderr.count('FutureWarning: codemix.data.tasks is now codemix.data.seqio.tasks') == 1
