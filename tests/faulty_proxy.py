"""A proxy before fake-gcs-server, which keeps preconditions and can fail.

fake-gcs-server takes no notice of `ifGenerationMatch` in uploads of one request, which TensorStore sends: the proxy compares the generation
and answers 412, as GCS does. On demand it answers 429 or 503, resets connections, holds them, or never answers the requests of a while.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

PASS, RESET, HOLD, LOSE = 'pass', 'reset', 'hold', 'lose'  # other modes are statuses, such as '503 Service Unavailable'
STATUSES = ('429 Too Many Requests', '503 Service Unavailable')
_CONDITION = re.compile(r'^(POST|DELETE) /(?:upload/)?storage/v1/b/([^/]+)/o/?([^? ]*)\?(\S*ifGenerationMatch=\d+\S*) ')
_UPLOAD = re.compile(rb'(POST|PUT) /(upload/|resumable/)')


class FaultyProxy:
  """Forwards connections to a port of this machine.

  Attributes:
    port: where it listens.
    failed: connections that did not reach the server.
    requests, bytes_read: of all clients since they were set to 0; bytes with the heads of HTTP.
  """

  def __init__(self, to_port: int):
    self._to, self._mode, self._refusal = to_port, PASS, ''
    self._open: set[socket.socket] = set()
    self.failed = self.requests = self.bytes_read = 0
    self._closed = threading.Event()
    self._writing = threading.Lock()  # of conditional writes: each is compared and made by itself
    self._server = socket.create_server(('127.0.0.1', 0), backlog=256)
    self.port = self._server.getsockname()[1]
    threading.Thread(target=self._accept, daemon=True).start()

  def fail(self, mode: str) -> None:
    """From now on no request reaches the server; connections that are open are closed, but in the mode LOSE."""
    self._mode = mode
    for connection in list(self._open) if mode != LOSE else ():
      _reset(connection)

  def refuse_uploads(self, status: str) -> None:
    """From now on answers each upload with a status, such as '403 Forbidden', and forwards all else."""
    self._refusal = status

  def heal(self) -> None:
    self._mode, self._refusal = PASS, ''

  @contextlib.contextmanager
  def failing(self, mode: str, seconds: float) -> Iterator[None]:
    """Fails for so many seconds, beside the block."""
    self.fail(mode)
    timer = threading.Timer(seconds, self.heal)
    timer.start()
    try:
      yield
    finally:
      timer.join()

  def close(self) -> None:
    self._server.close()
    self._closed.set()
    self.fail(RESET)

  def _accept(self) -> None:
    with contextlib.suppress(OSError):  # closed
      while True:
        client, _ = self._server.accept()
        threading.Thread(target=self._serve, args=(client,), daemon=True).start()

  def _serve(self, client: socket.socket) -> None:
    mode = self._mode
    with contextlib.suppress(OSError), client:
      if mode in (PASS, LOSE):
        self._forward(client)
        return
      self.failed += 1
      if mode == HOLD:
        while self._mode == HOLD:
          time.sleep(0.05)
      elif mode != RESET:
        client.settimeout(1)
        with contextlib.suppress(TimeoutError):
          client.recv(2**20)
        client.sendall(_answer(mode))
        return
      _reset(client)

  def _forward(self, client: socket.socket) -> None:
    with socket.create_connection(('127.0.0.1', self._to)) as server:
      for end in (client, server):  # a head and its body are sent at once, and not after an acknowledgement of 40 ms
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      self._open |= {client, server}
      answered = threading.Event()
      try:
        threading.Thread(target=self._answers, args=(server, client, answered), daemon=True).start()
        with client.makefile('rb') as stream:
          while head := _read_head(stream):
            self.requests += 1
            body = _read_body(stream, head)
            self._request(head, body, client, server, answered)
      finally:
        self._open -= {client, server}
        with contextlib.suppress(OSError):
          server.shutdown(socket.SHUT_RDWR)  # wakes `_answers`: closing it does not

  def _request(self, head: bytes, body: Iterator[bytes], client: socket.socket, server: socket.socket, answered: threading.Event) -> None:
    if self._refusal and _UPLOAD.match(head):
      self.failed += 1
      list(body)
      client.sendall(_answer(self._refusal))
      return
    if self._mode == LOSE:
      self.failed += 1
      list(body)
      self._closed.wait()
      return
    condition = _CONDITION.match(head.decode('latin-1'))
    with self._writing if condition else contextlib.nullcontext():
      if condition and not self._is_met(*condition.groups()):
        list(body)
        client.sendall(_answer('412 Precondition Failed'))
        return
      answered.clear()
      server.sendall(head)
      for piece in body:
        server.sendall(piece)
      if condition:
        answered.wait(60)

  def _is_met(self, method: str, bucket: str, name: str, query: str) -> bool:
    fields = dict(urllib.parse.parse_qsl(query))
    name = name or urllib.parse.quote(fields['name'], safe='')
    try:
      with urllib.request.urlopen(f'http://127.0.0.1:{self._to}/storage/v1/b/{bucket}/o/{name}', timeout=60) as found:
        generation = json.load(found)['generation']
    except urllib.error.HTTPError:
      generation = '0'
    return generation == fields['ifGenerationMatch']

  def _answers(self, server: socket.socket, client: socket.socket, answered: threading.Event) -> None:
    with contextlib.suppress(OSError):
      while data := server.recv(2**16):
        self.bytes_read += len(data)
        client.sendall(data)
        answered.set()
    answered.set()
    with contextlib.suppress(OSError):
      client.shutdown(socket.SHUT_RDWR)


def _read_head(stream) -> bytes:
  head = b''
  while line := stream.readline():
    head += line
    if line == b'\r\n':
      return head
  return b''


def _read_body(stream, head: bytes) -> Iterator[bytes]:
  fields = head.lower()
  if b'transfer-encoding: chunked' in fields:
    while size := int((line := stream.readline()).strip() or b'0', 16):
      yield line + stream.read(size + 2)
    yield line + stream.readline()
  elif length := re.search(rb'content-length: *(\d+)', fields):
    left = int(length[1])
    while left:
      yield (piece := stream.read(min(left, 2**16)))
      left -= len(piece)
      if not piece:
        return


def _answer(status: str) -> bytes:
  ends = 'keep-alive' if status.startswith(('403', '412')) else 'close'
  return f'HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: {ends}\r\n\r\n'.encode()


def _reset(connection: socket.socket) -> None:
  with contextlib.suppress(OSError):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
