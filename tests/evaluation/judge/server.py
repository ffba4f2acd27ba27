"""An HTTP server that answers chat completions as the API does, and misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = re.compile(r'\[Answer A\]\n(.*?)\n\n\[Answer B\]\n(.*?)\n\nCompare', re.DOTALL)

Decide = Callable[[str, str], str]  # the answers shown as A and B -> 'A', 'B' or another text


class JudgeServer(ThreadingHTTPServer):
  """Attributes: `faults`, what goes wrong with the next requests, one after the other; `requests` so far; `keys` that came."""

  daemon_threads = True

  def __init__(self, decide: Decide):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.decide, self.faults, self.requests, self.keys = decide, [], 0, set()
    self.lock = threading.Lock()

  @property
  def url(self) -> str:
    return f'http://127.0.0.1:{self.server_address[1]}/v1'

  def handle_error(self, request, client_address):
    """Clients that went away are no news."""


@contextlib.contextmanager
def judge_server(decide: Decide) -> Iterator[JudgeServer]:
  server = JudgeServer(decide)
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def log_message(self, *_):
    pass

  def do_POST(self):
    body = self.rfile.read(int(self.headers['content-length']))
    server = self.server
    with server.lock:
      server.requests += 1
      server.keys.add(self.headers['authorization'])
      fault = server.faults.pop(0) if server.faults else None
    if fault == 'cut':
      self.close_connection = True
      return
    if fault == 'slow':
      time.sleep(1.0)
    if fault == 'garbage':
      return self._send(200, b'<html>not json', 'text/html')
    if fault == 'broken json':
      return self._send(200, b'{"choices": [', 'application/json')
    if fault == 'other json':
      return self._send(200, b'{"choices": []}', 'application/json')
    if isinstance(fault, int):
      message = {'error': {'message': f'refused for {self.headers["authorization"]}', 'type': 'x'}}
      return self._send(fault, json.dumps(message).encode(), 'application/json', {'retry-after': '0.01'} if fault == 429 else {})
    first, second = ANSWERS.search(json.loads(body)['messages'][0]['content']).groups()
    choice = server.decide(first, second)
    text = f'They differ.\nPreferred: {choice}' if choice in ('A', 'B') else choice
    answer = {
      'id': 'x', 'object': 'chat.completion', 'created': 0, 'model': 'judge-2026-01',
      'choices': [{'index': 0, 'finish_reason': 'stop', 'message': {'role': 'assistant', 'content': text}}],
    }  # fmt: skip
    return self._send(200, json.dumps(answer).encode(), 'application/json')

  def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
    self.send_response(status)
    for name, value in {'content-type': kind, 'content-length': str(len(body)), **(headers or {})}.items():
      self.send_header(name, value)
    self.end_headers()
    self.wfile.write(body)
