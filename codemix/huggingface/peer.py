"""What transformers computes from an exported folder: a script for a Python that has it.

Run as `PYTHON peer.py FOLDER ASKED ANSWER`. It imports nothing of codemix, whose packages that Python may lack.
"""

import importlib.util
import json
import sys


def is_here() -> bool:
  """Whether this Python has torch and transformers."""
  return all(importlib.util.find_spec(name) for name in ('torch', 'transformers'))


def load(folder):
  """The model in float32. Exits with the names if a parameter is missing, not expected, or of another shape."""
  import torch
  import transformers

  model, loaded = transformers.AutoModelForCausalLM.from_pretrained(
    folder, torch_dtype=torch.float32, local_files_only=True, output_loading_info=True
  )
  # A tied head is not stored; anything else that is missing was initialised at random.
  missing = [name for name in loaded['missing_keys'] if not (name == 'lm_head.weight' and model.config.tie_word_embeddings)]
  if wrong := [*missing, *loaded['unexpected_keys'], *loaded['mismatched_keys']]:
    sys.exit(f'missing, unexpected or of another shape: {wrong}')
  return model.eval()


def logits(model, ids):
  """float32 [L, V] of a list of L ids."""
  import torch

  with torch.no_grad():
    return model(torch.tensor([ids])).logits[0].float().numpy()


def ids_of_texts(folder, texts):
  """The ids that AutoTokenizer gives to each text."""
  import transformers

  tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
  return [tokenizer(text)['input_ids'] for text in texts]


def main(folder: str, asked: str, answer: str) -> None:
  """Loads a folder, and answers with logits of ids in float32 and with the ids of texts.

  Args:
    folder: with config.json.
    asked: a JSON file: `ids`, a row of ids, and `texts`.
    answer: the .npz file that is written: `by`, `logits` [L, V], and `text0`, `text1`, ...
  """
  import numpy as np
  import transformers

  with open(asked) as file:
    question = json.load(file)
  model = load(folder)
  texts = ids_of_texts(folder, question['texts']) if question['texts'] else []
  np.savez(
    answer,
    by=np.asarray(f'transformers {transformers.__version__} ({type(model).__name__})'),
    logits=logits(model, question['ids']),
    **{f'text{n}': np.asarray(ids, np.int64) for n, ids in enumerate(texts)},
  )


if __name__ == '__main__':
  main(*sys.argv[1:])
