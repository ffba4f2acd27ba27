"""Which model judges, and how it is asked."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import Above, From, NotEmpty, Path, checked
from codemix.errors import UserError
from codemix.evaluation.judge.prompt import PROMPT_DIGEST


@dataclasses.dataclass(frozen=True)
@checked
class Judge:
  """A model behind an OpenAI-compatible endpoint, or a checkpoint of codemix.

  The key is read from the environment and is neither stored nor shown.

  Attributes:
    model: its name at the endpoint; write one that names a version, since judges that change move win rates.
    checkpoint: a finished or imported stage's folder instead; it chooses the likelier of 'Preferred: A' and
      'Preferred: B', so every verdict is parsed.
    url: of the endpoint, such as 'http://host:8000/v1'; None for `$OPENAI_BASE_URL`, else the client's own.
    key_variable: the environment variable that holds the key.
    temperature: of the judge.
    max_tokens: of its answer.
    budget: requests that are sent at most, retries included; None for no limit.
    retries: of a request that fails for a reason that may pass (429, 5xx, a broken connection, an answer that
      is not the API's), each after twice the wait.
    wait_s: seconds before the first retry; a Retry-After header overrides it.
    timeout_s: seconds that one request may take.
    jobs: requests at the same time.
  """

  model: str = ''
  checkpoint: Path | None = None
  url: Annotated[str, NotEmpty()] | None = None
  key_variable: Annotated[str, NotEmpty()] = 'OPENAI_API_KEY'
  temperature: Annotated[float, From(0)] = 0.0
  max_tokens: Annotated[int, From(1), 'tokens'] = 512
  budget: Annotated[int, From(1), 'requests'] | None = None
  retries: Annotated[int, From(0)] = 5
  wait_s: Annotated[float, Above(0), 'seconds'] = 0.5
  timeout_s: Annotated[float, Above(0), 'seconds'] = 120.0
  jobs: Annotated[int, From(1)] = 8

  def __post_init__(self):
    if self.url is not None and not self.url.startswith(('http://', 'https://')):
      raise UserError(f"Judge.url is '{self.url}'; it begins with http:// or https://, such as 'http://host:8000/v1'.")
    if self.url is not None and '@' in self.url.partition('://')[2].partition('/')[0]:
      raise UserError(f'Judge.url has a name or password before its host, and a URL is shown and stored: put the key into the environment variable {self.key_variable}.')
    if bool(self.model) == bool(self.checkpoint):
      raise UserError("Judge needs a model or a checkpoint, and not both: set Judge.model = 'NAME' or Judge.checkpoint = 'STAGE_FOLDER'.")

  def identity(self, checkpoint_digest: str | None = None) -> dict:
    """What decides its verdicts; neither where it runs nor how often it is asked.

    Args:
      checkpoint_digest: of the judge's parameters, if it is a checkpoint.
    """
    if self.checkpoint:
      return {'checkpoint': checkpoint_digest, 'prompt': PROMPT_DIGEST}
    return {'model': self.model, 'temperature': self.temperature, 'max_tokens': self.max_tokens, 'prompt': PROMPT_DIGEST}
