"""transformers' `generate`, timed; `codemix.benchmarks.generation` starts this in the environment of the peer.

For each number of prompts at a time that it reads, it prints the seconds that all prompts take, and nothing else.
With `--tokens` it prints the new tokens instead, as JSON.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
  import torch
  from safetensors.torch import load_file
  from transformers import CohereConfig, CohereForCausalLM

  folder = Path(sys.argv[1])
  given = json.loads((folder / 'run.json').read_text())
  model = CohereForCausalLM(CohereConfig(**given['config'])).eval()
  missing, unexpected = model.load_state_dict(load_file(folder / 'model.safetensors'), strict=False)
  if unexpected or set(missing) - {'lm_head.weight'}:
    sys.exit(f'the weights do not fit: {missing}, {unexpected}')
  prompts = sorted(given['prompts'], key=len)  # so that little is padded

  def run(batch: int) -> list[list[int]]:
    new = []
    for start in range(0, len(prompts), batch):
      rows = prompts[start : start + batch]
      width = max(map(len, rows))
      ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
      mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
      lengths = {'max_new_tokens': given['new'], 'min_new_tokens': given['new']}
      new += model.generate(ids, attention_mask=mask, do_sample=False, pad_token_id=0, **lengths)[:, width:].tolist()
    return new

  with torch.inference_mode():
    if '--tokens' in sys.argv:
      print(json.dumps(run(4)))
      return
    model.generate(torch.ones((1, 2), dtype=torch.long), max_new_tokens=4, do_sample=False)
    for line in sys.stdin:
      began = time.perf_counter()
      run(int(line))
      print(time.perf_counter() - began, flush=True)


if __name__ == '__main__':
  main()
