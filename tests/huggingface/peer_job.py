"""What the tests ask of transformers: a script for a Python that has it, which runs one job in one process.

Run as `PYTHON peer_job.py JOB.json`, with `peer` (the folder of codemix/huggingface/peer.py), `out` (a folder),
`loads` (name -> folder, rows of ids, texts, prompts, new_tokens) and `makes` (name -> architecture, settings, tokens).
"""

import json
import sys
from pathlib import Path


def main(job):
  sys.path.insert(0, job['peer'])
  out = Path(job['out'])
  for name, asked in job['loads'].items():
    answer(asked['folder'], asked, out / f'{name}.npz')
  for name, asked in job['makes'].items():
    make(out / name, **asked['model'])
    answer(out / name, asked, out / f'{name}.npz')


def answer(folder, asked, path):
  """Logits of each row of ids, ids of each text, and the greedy tokens after each prompt of ids."""
  import numpy as np
  import peer
  import torch

  model = peer.load(folder)
  arrays = {f'logits{n}': peer.logits(model, ids) for n, ids in enumerate(asked['rows'])}
  for n, ids in enumerate(asked.get('prompts', [])):
    row = torch.tensor([ids])
    made = model.generate(row, attention_mask=torch.ones_like(row), do_sample=False, max_new_tokens=asked['new_tokens'])
    arrays[f'greedy{n}'] = made[0, len(ids) :].numpy()
  if asked.get('texts'):
    ids = peer.ids_of_texts(folder, asked['texts'])
    arrays |= {'ids': np.concatenate([np.asarray(of, np.int64) for of in ids]), 'sizes': np.asarray([len(of) for of in ids])}
  np.savez(path, **arrays)


def make(folder, architecture, settings, special, texts, seed):
  """A model with random parameters, and a tokenizer that was trained on texts, as transformers saves them."""
  import tokenizers
  import torch
  import transformers
  from tokenizers import decoders, models, pre_tokenizers, trainers

  backend = tokenizers.Tokenizer(models.BPE())
  backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  backend.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=400, special_tokens=sorted(set(special.values())), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
  )
  backend.train_from_iterator(texts, trainer)
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **special)
  ids = {f'{role}_id': backend.token_to_id(token) for role, token in special.items()}
  kind = getattr(transformers, architecture)
  torch.manual_seed(seed)
  model = kind(kind.config_class(vocab_size=backend.get_vocab_size() + 5, **settings, **ids))
  with torch.no_grad():
    for name, weight in model.named_parameters():
      if 'norm' in name:
        weight.uniform_(0.5, 1.5)
      else:
        weight.mul_(5)
  model.save_pretrained(folder, max_shard_size='40KB')
  tokenizer.save_pretrained(folder)


if __name__ == '__main__':
  main(json.loads(Path(sys.argv[1]).read_text()))
