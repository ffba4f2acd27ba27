"""A finished stage as a model of lm-evaluation-harness.

Pairs are divided, cut and scored as by the harness's `hf` on the exported model: BOS comes first, and what exceeds the
model's length is cut from the left, BOS too.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from codemix.evaluation.continuations import score_continuations, score_tokens, tokenized
from codemix.evaluation.model import Model
from codemix.identity import digest
from codemix.lm_eval.settings import MAX_NEW_TOKENS, decoding, open_model
from codemix.training.progress import progress_of

# Requests scored before their answers reach the harness's cache: after a kill no more are lost.
PORTION = 2**13


@register_model('codemix')
class CodemixLM(LM):
  """`--model codemix --model_args checkpoint=STAGE_FOLDER[,batch=ROWS][,dtype=float32|bfloat16]`.

  Raises UserError: an argument is unknown or out of range, or the folder is not a finished stage.

  Attributes:
    model: the opened stage.
  """

  def __init__(
    self, checkpoint=None, batch=None, dtype=None, batch_size=None, max_batch_size=None, device=None, **unknown
  ) -> None:
    super().__init__()
    del max_batch_size, device  # all devices of the process are used
    self.model = open_model(checkpoint, batch, dtype, batch_size, unknown)

  @classmethod
  def of(cls, model: Model) -> CodemixLM:
    """For `lm_eval.simple_evaluate(model=...)`, from a model that is open already."""
    made = cls.__new__(cls)
    LM.__init__(made)
    made.model = model
    return made

  @property
  def tokenizer_name(self) -> str:
    """Names the tokenizer in the harness's cache of requests."""
    return f'codemix-{self.model.tokenizer.digest}'

  @property
  def eot_token_id(self) -> int:
    return self.model.tokenizer.eos_id

  @property
  def prefix_token_id(self) -> int:
    return self.model.tokenizer.bos_id

  @property
  def max_length(self) -> int:
    return self.model.length

  @property
  def max_gen_toks(self) -> int:
    return MAX_NEW_TOKENS

  @property
  def batch_size(self) -> int:
    """Rows of the model's length computed at a time."""
    return self.model.batch

  def get_model_info(self) -> dict[str, Any]:
    """What the harness writes into its results."""
    config = self.model.config
    return {
      'model_num_parameters': config.parameter_count()['total'],
      'model_dtype': config.dtype,
      'model_sha': self.model.checkpoint,
    }

  def loglikelihood(self, requests: Sequence, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
    """(log-likelihood in nats, whether it is greedy) of each (context, continuation)."""
    with _shown('loglikelihood', len(requests), disable_tqdm) as show:

      def answers(portion: Sequence, show: Callable[[int], None]) -> list[tuple[float, bool]]:
        pairs = tokenized(self.model.tokenizer, [request.args for request in portion])
        scores = score_continuations(self.model, pairs, show, keep_bos=False)
        return [(-nats, greedy) for nats, greedy in zip(scores.nats.tolist(), scores.greedy.tolist(), strict=True)]

      return self._in_portions('loglikelihood', requests, answers, show)

  def loglikelihood_rolling(self, requests: Sequence, disable_tqdm: bool = False) -> list[float]:
    """The log-likelihood in nats of each (text,), in the harness's windows: each token once, with as much context as fits."""
    with _shown('loglikelihood_rolling', len(requests), disable_tqdm) as show:

      def answers(portion: Sequence, show: Callable[[int], None]) -> list[float]:
        texts = self.model.tokenizer.encode_batch([request.args[0] for request in portion])
        windows = [self._windows(ids) for ids in texts]
        scores = score_tokens(self.model, [window for of_text in windows for window in of_text])
        show(len(portion))
        nats = iter(scores.nats.tolist())
        return [-sum(next(nats) for _ in of_text) for of_text in windows]

      return self._in_portions('loglikelihood_rolling', requests, answers, show)

  def _windows(self, ids: list[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    rolling = get_rolling_token_windows(ids, prefix_token=self.prefix_token_id, max_seq_len=self.max_length, context_len=1)
    return [(tuple(context), tuple(continuation)) for context, continuation in map(make_disjoint_window, rolling)]

  def _in_portions(self, method: str, requests: Sequence, answers: Callable, show: Callable[[int], None]) -> list:
    made = []
    for first in range(0, len(requests), PORTION):
      portion = requests[first : first + PORTION]
      of_portion = answers(portion, lambda done, first=first: show(first + done))
      for request, answer in zip(portion, of_portion, strict=True):
        self.cache_hook.add_partial(method, request.args, answer)
      made += of_portion
    return made

  def generate_until(self, requests: Sequence, disable_tqdm: bool = False) -> list[str]:
    """The completion of each (context, settings), without the text that ended it.

    Raises UserError if a setting is out of range, or is one that codemix does not have.
    """
    alike: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
      alike.setdefault(digest(request.args[1]), []).append(number)
    settings = [decoding(requests[numbers[0]].args[1]) for numbers in alike.values()]  # all, before the first is used
    keys, texts, done = _keys(requests), [''] * len(requests), 0
    with _shown('generate_until', len(requests), disable_tqdm) as show:
      for chosen, numbers in zip(settings, alike.values(), strict=True):
        prompts = [requests[n].args[0] for n in numbers]
        show_more = lambda now, done=done: show(done + now)
        completed = self.model.complete(prompts, [keys[n] for n in numbers], chosen, show_more)
        for number, [completion] in zip(numbers, completed, strict=True):
          texts[number] = completion.text
          self.cache_hook.add_partial('generate_until', requests[number].args, completion.text)
        done += len(numbers)
    return texts


def _keys(requests: Sequence) -> list[str]:
  """A name for each request: its context, and how many requests of the same context are before it."""
  seen: collections.Counter = collections.Counter()
  keys = []
  for request in requests:
    context = digest(request.args[0])
    keys.append(f'{context}-{seen[context]}')
    seen[context] += 1
  return keys


@contextlib.contextmanager
def _shown(method: str, requests: int, hidden: bool) -> Iterator[Callable[[int], None]]:
  with progress_of(method, '{done:,} of {total:,} requests', requests, shown=not hidden) as show:
    yield show
