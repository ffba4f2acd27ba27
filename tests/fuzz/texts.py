"""Seeds of what people write or download: gin files, a model of transformers, shares and figures of a swarm."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from codemix.commands.experiment import load_experiment
from codemix.huggingface.importing import import_model
from codemix.huggingface.weights import open_weights
from codemix.report.swarm.files import read_swarm
from tests.commands.test_wrong_input import GIN
from tests.fuzz.harness import Input
from tests.huggingface.stages import train_sentencepiece
from tests.huggingface.test_import import foreign_tokenizer, write_folder
from tests.report.swarm import fake_swarm

# Every kind of statement and value that gin has.
MORE = """
include 'base.gin'
import codemix.data.filters
STEPS = 4
PEAK = 1e-2
WarmupCosine.peak = %PEAK
text/Corpus.files = {'train': ['part-[01].jsonl', "part-2.jsonl"], 'validation': 'part-3.jsonl'}
text/Corpus.filters = (@HexLiterals(), @first/Size())
first/Size.min_bytes = 20
Data.sources = {'text': @text/Corpus()}
Data.workers = @Processes()
Processes.count = 2
Study.name = \\
  'tiny'
second/Stage.mixture = {
    'text': 0.75,  # a comment
    'code': 0.25,
}
"""


def inputs(root: Path) -> list[Input]:
  return [*_gin(root / 'gin'), *_models(root / 'models'), *_swarms(root / 'swarms')]


# What a binding is missing for is named by its configurable, not by a file.
_LACKING = r"^(\w+/)?\w+ lacks a value for '|^neither Study.recipes nor Recipe.stages is bound by "


class _Arguments:
  """What the command line gives `load_experiment`."""

  def __init__(self, file: Path):
    self.gin_file, self.gin_bindings, self.gin_search_paths = [str(file)], [], str(file.parent)


def _gin(root: Path) -> list[Input]:
  root.mkdir(parents=True)
  (root / 'base.gin').write_text(GIN)
  (root / 'recipe.gin').write_text(MORE)

  def read(path: Path) -> object:
    experiment = load_experiment(_Arguments(path))
    return [repr(part) for part in (experiment.study, experiment.data, experiment.runtime)]

  recipe, base = root / 'recipe.gin', root / 'base.gin'
  files = {'gin recipe': (recipe, recipe), 'gin base': (base, recipe), 'gin alone': (base, base)}
  return [Input(name, path, 'gin', lambda main=main: read(main), says=_LACKING) for name, (path, main) in files.items()]


def _models(root: Path) -> list[Input]:
  """Folders of transformers: with one file of weights and a BPE, with an index, and with SentencePiece."""
  root.mkdir(parents=True)
  public = write_folder(root / 'public', foreign_tokenizer('<|endoftext|>'), {'eos_token': '<|endoftext|>'})
  pieces = write_folder(root / 'pieces', {}, {'eos_token': '</s>', 'bos_token': '<s>'}, vocab_size=400)
  (pieces / 'tokenizer.json').unlink()
  train_sentencepiece(pieces / 'tokenizer.model')
  shards = write_folder(root / 'shards', foreign_tokenizer('<|endoftext|>'), {'eos_token': '<|endoftext|>'}, shard_bytes=10_000)

  def read(folder: Path) -> object:
    out = root / 'out'
    shutil.rmtree(out, ignore_errors=True)
    made = import_model(folder, out)
    weights = open_weights(folder)
    arrays = {name: weights.read(name).astype(np.float32) for name in weights.files}
    return made.described, made.length, made.parameters, made.notes, made.tokenizer.tokenizer.vocab_size, arrays

  files = {public: ('config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'), shards: ('model.safetensors.index.json', 'model-00001-of-*.safetensors'), pieces: ('tokenizer.model',)}
  forms = {'.json': 'json', '.safetensors': 'safetensors', '.model': 'bytes'}
  found = [path for folder, names in files.items() for name in names for path in sorted(folder.glob(name))]
  return [Input(f'import of {path.parent.name}/{path.name}', path, forms[path.suffix], lambda folder=path.parent: read(folder), share=0.3) for path in found]


def _swarms(root: Path) -> list[Input]:
  found = []
  for ending, form in (('csv', 'bytes'), ('parquet', 'parquet')):
    files = fake_swarm.write(root / ending, *fake_swarm.tables(runs=24), ending).split(',')
    found += [Input(f'swarm {Path(file).name}', Path(file), form, lambda files=files: read_swarm(*files), share=0.3) for file in files]
  return found
