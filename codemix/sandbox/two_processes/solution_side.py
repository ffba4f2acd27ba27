"""Runs a solution and answers calls of it (sent into the sandbox as text, after plain_data.py).

Nothing here is trusted: the solution may change all of it. It can only decide what the calls return.
"""

import json
import os
import sys


def answer_calls(reads, writes):
  """Runs the solution that it is sent, then does what the tests ask: one line of JSON each way."""
  requests, objects = os.fdopen(reads, 'rb'), []

  def keep(value):
    objects.append(value)
    return len(objects) - 1

  def reply(message):
    data = json.dumps(message).encode() + b'\n'
    while data:
      data = data[os.write(writes, data) :]

  def done(action, *arguments):
    try:
      reply({'value': encode(action(*arguments), keep)})  # noqa: F821  of plain_data.py
    except BaseException as error:
      reply({'error': type(error).__name__, 'said': str(error)[:2000]})

  start = json.loads(requests.readline())
  main = type(sys)('__main__')
  main.__file__ = start['file']
  sys.modules['__main__'], sys.argv, sys.path[:] = main, [start['file']], start['path']
  done(_run, start['solution'], start['file'], main)
  for line in requests:
    asked = json.loads(line)
    arguments = decode(asked['arguments'], objects.__getitem__)  # noqa: F821  of plain_data.py
    done(_do, main, asked['what'], *arguments)
  os._exit(0)


def _run(solution, file, main):
  exec(compile(solution, file, 'exec', dont_inherit=True), main.__dict__)


def _do(main, what, target, *rest):
  if what == 'name':
    return main.__dict__[target]
  if what == 'call':
    return target(*rest[0], **rest[1])
  return {'get': getattr, 'set': setattr, 'list': list}[what](target, *rest)
