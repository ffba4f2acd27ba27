"""A machine without TPUs is known by its devices; variables that the user set for libtpu stay."""

import os

import pytest

from codemix.parallel import libtpu


@pytest.mark.parametrize(('vendors', 'expected'), [(['0x8086\n', '0x10de\n'], False), (['0x8086\n', '0x1ae0\n'], True), ([], False)])
def test_a_tpu_is_known_by_its_vendor(vendors, expected, tmp_path, monkeypatch):
  for number, vendor in enumerate(vendors):
    (tmp_path / f'{number}').mkdir()
    (tmp_path / f'{number}' / 'vendor').write_text(vendor)
  monkeypatch.setattr(libtpu, 'PCI', tmp_path)
  assert libtpu.may_have_tpus() == expected


def test_variables_that_are_set_stay(monkeypatch):
  for name in libtpu.WITHOUT_TPU:
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setenv('TPU_WORKER_ID', '7')
  libtpu.skip_tpu_discovery()
  assert os.environ['TPU_WORKER_ID'] == '7'
  assert os.environ['TPU_SKIP_MDS_QUERY'] == '1'
