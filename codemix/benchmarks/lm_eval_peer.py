"""What lm-evaluation-harness's `hf` takes for pairs of texts: a script for a Python that has it.

Run as `PYTHON lm_eval_peer.py FOLDER PAIRS BATCH ANSWER`. For each line `START STOP` that it reads it scores these pairs, and
prints the seconds; at the end of its input it writes all scores. It imports nothing of codemix, whose packages that
Python may lack.
"""

import json
import sys
import time


def main(folder: str, pairs: str, batch: str, answer: str) -> None:
  """Scores slices of the pairs of a JSON file with the model of a folder."""
  answers, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed
  from lm_eval.api.instance import Instance
  from lm_eval.models.huggingface import HFLM

  with open(pairs) as file:
    asked = [tuple(pair) for pair in json.load(file)]
  model = HFLM(pretrained=folder, dtype='float32', device='cpu', batch_size=int(batch))
  requests = [Instance('loglikelihood', {}, pair, number) for number, pair in enumerate(asked)]
  model.loglikelihood(requests[: int(batch)], disable_tqdm=True)  # warm-up
  found = []
  for line in sys.stdin:
    start, stop = map(int, line.split())
    began = time.perf_counter()
    found += model.loglikelihood(requests[start:stop], disable_tqdm=True)
    print(time.perf_counter() - began, file=answers, flush=True)
  with open(answer, 'w') as file:
    json.dump(found, file)


if __name__ == '__main__':
  main(*sys.argv[1:])
