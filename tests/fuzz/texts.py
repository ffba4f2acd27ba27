"""Seeds of what people write or download: gin files, and a model of transformers."""

from __future__ import annotations

import shutil
from pathlib import Path

from codemix.commands.experiment import load_experiment
from codemix.huggingface.export import Export, export_stage
from codemix.huggingface.importing import import_model
from tests.commands.test_wrong_input import GIN
from tests.fuzz.harness import Input
from tests.huggingface.stages import config_of, random_params, train_sentencepiece, write_stage
from tests.huggingface.test_import import foreign_tokenizer, write_folder

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
  return [*_gin(root / 'gin'), *_models(root / 'models')]


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
  return [
    Input('gin recipe', recipe, 'gin', lambda: read(recipe)),
    Input('gin base', base, 'gin', lambda: read(recipe)),
    Input('gin alone', base, 'gin', lambda: read(base)),
  ]


def _models(root: Path) -> list[Input]:
  """Folders of transformers: with one file of weights and a BPE, with an index, and with SentencePiece."""
  root.mkdir(parents=True)
  public = write_folder(root / 'public', foreign_tokenizer('<|endoftext|>'), {'eos_token': '<|endoftext|>'})
  pieces = write_folder(root / 'pieces', {}, {'eos_token': '</s>', 'bos_token': '<s>'}, vocab_size=400)
  (pieces / 'tokenizer.json').unlink()
  train_sentencepiece(pieces / 'tokenizer.model')
  config = config_of('cohere', layers=1)
  shards = root / 'shards'
  export_stage(write_stage(root / 'run', config, random_params(config)), shards, Export(shard_bytes=10_000))

  def read(folder: Path) -> object:
    out = root / 'out'
    shutil.rmtree(out, ignore_errors=True)
    made = import_model(folder, out)
    return made.described, made.length, made.parameters, made.notes, made.tokenizer.tokenizer.vocab_size

  files = {public: ('config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'), shards: ('model.safetensors.index.json', 'model-00001-of-*.safetensors'), pieces: ('tokenizer.model',)}
  forms = {'.json': 'json', '.safetensors': 'safetensors', '.model': 'bytes'}
  found = [path for folder, names in files.items() for name in names for path in sorted(folder.glob(name))]
  return [Input(f'import of {path.parent.name}/{path.name}', path, forms[path.suffix], lambda folder=path.parent: read(folder)) for path in found]

