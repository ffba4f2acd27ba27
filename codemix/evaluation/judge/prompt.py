"""What the judge is asked, and how its answer is read."""

from __future__ import annotations

import re

from codemix.identity import digest

# The four criteria of the paper (appendix B), in our words: sound reasoning, doing what was asked, correct and
# understandable content, language. As there, the judge compares first and names its preference last.
_QUESTION = """\
Two assistants answered the same instruction. Decide which answer you prefer. If both are wrong, prefer the one that is less wrong.

Judge by these criteria:
1. Reasoning: the steps and conclusions are correct.
2. Task: the answer does what the instruction asks.
3. Content: the answer is factual and can be understood.
4. Language: grammar is correct and the text is fluent.

Ignore the order of the answers and their length.

[Instruction]
{instruction}

[Answer A]
{first}

[Answer B]
{second}

Compare the answers in one or two sentences. Then write, on a line of its own, exactly "Preferred: A" or "Preferred: B"."""

# Neither 'a tie' nor 'A or B' prefers A.
_VERDICT = re.compile(r'^[\W_]*preferred[\W_]*:[\W_]*(?:a +(?=tie\b))?(A|B|tie)\b(?![ \t]*/|[ \t]+(?:and|or)\b)', re.IGNORECASE | re.MULTILINE)

PROMPT_DIGEST = digest({'question': _QUESTION, 'verdict': _VERDICT.pattern})


def question(instruction: str, first: str, second: str) -> str:
  """The judge's prompt for an ordered pair of answers."""
  texts = {'instruction': instruction, 'first': first, 'second': second}
  return re.sub(r'\{(\w+)\}', lambda place: texts[place[1]], _QUESTION)


def verdict(answer: str) -> str | None:
  """'A', 'B' or 'tie': the last preference that the judge's answer names; None if there is none."""
  found = _VERDICT.findall(answer)
  return {'a': 'A', 'b': 'B', 'tie': 'tie'}[found[-1].lower()] if found else None
