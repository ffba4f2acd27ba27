"""A headless Chromium for tests of pages, driven by the DevTools protocol over two pipes: no library, no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')


class Tab:
  """A tab with a page.

  Attributes:
    complaints: errors and warnings of the console, and exceptions, so far.
  """

  def __init__(self, to: int, back: int):
    self._to, self._back, self._rest, self._last, self._session = to, back, b'', 0, None
    self.complaints: list[str] = []
    target = self._call('Target.createTarget', url='about:blank')['targetId']
    self._session = self._call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
    for domain in ('Page', 'Runtime', 'Log'):
      self._call(f'{domain}.enable')

  def open(self, page: Path, width: int, height: int = 900, scripts: bool = True) -> None:
    """Opens a file at a width in CSS pixels, as a telephone if it is narrow."""
    self._call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
    self._call('Emulation.setScriptExecutionDisabled', value=not scripts)
    self._call('Page.navigate', url=page.resolve().as_uri())
    self._wait_for('Page.loadEventFired')

  def run(self, expression: str) -> Any:
    """The value of an expression in the page."""
    found = self._call('Runtime.evaluate', expression=expression, returnByValue=True)
    assert 'exceptionDetails' not in found, found['exceptionDetails']
    return found['result'].get('value')

  def press(self, key: str, code: int) -> None:
    """A key, as a keyboard sends it to what has the focus."""
    text = {'text': '\r'} if key == 'Enter' else {}
    for kind in ('keyDown', 'keyUp'):
      self._call('Input.dispatchKeyEvent', type=kind, key=key, code=key, windowsVirtualKeyCode=code, **(text if kind == 'keyDown' else {}))

  def picture(self, path: Path, whole: bool = False) -> None:
    """Saves what is seen, or the whole page, as PNG."""
    found = self._call('Page.captureScreenshot', format='png', captureBeyondViewport=whole)
    path.write_bytes(base64.b64decode(found['data']))

  def _call(self, method: str, **params: Any) -> dict[str, Any]:
    self._last += 1
    message = {'id': self._last, 'method': method, 'params': params, **({'sessionId': self._session} if self._session else {})}
    os.write(self._to, json.dumps(message).encode() + b'\0')
    while True:
      answer = self._read()
      if answer.get('id') == self._last:
        assert 'error' not in answer, (method, answer['error'])
        return answer['result']

  def _wait_for(self, event: str) -> None:
    while self._read().get('method') != event:
      pass

  def _read(self) -> dict[str, Any]:
    while b'\0' not in self._rest:
      part = os.read(self._back, 1 << 20)
      assert part, 'the browser ended'
      self._rest += part
    message, self._rest = self._rest.split(b'\0', 1)
    found = json.loads(message)
    method, params = found.get('method'), found.get('params', {})
    if method == 'Runtime.exceptionThrown':
      self.complaints.append(str(params['exceptionDetails']))
    elif method == 'Log.entryAdded' and params['entry']['level'] in ('error', 'warning'):
      self.complaints.append(params['entry']['text'])
    elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'warning', 'assert'):
      self.complaints.append(str(params['args']))
    return found


@contextmanager
def browser() -> Iterator[Tab]:
  """A tab of a browser of its own, which ends with the block."""
  to_read, to_write = os.pipe()
  back_read, back_write = os.pipe()
  with tempfile.TemporaryDirectory() as profile:
    flags = ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', f'--user-data-dir={profile}')
    # The browser reads commands from its descriptor 3, and answers on 4.
    command = f'exec "$0" "$@" 3<&{to_read} 4>&{back_write}'
    process = subprocess.Popen(
      ['bash', '-c', command, CHROMIUM, *flags, '--remote-debugging-pipe', 'about:blank'],
      pass_fds=(to_read, back_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_read), os.close(back_write)
    try:
      yield Tab(to_write, back_read)
    finally:
      os.close(to_write), os.close(back_read)
      try:
        process.wait(20)  # it ends when its pipe does
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
