"""torchvision's operator, loaded without its package; test_nms.py has golden results of it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from utils import suppression
from utils.suppression import load_operator, nms

load_again = load_operator.__wrapped__


def forbid_the_package(monkeypatch) -> None:
    """Let `import torchvision.ops` raise ImportError, while the package can be found."""
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)


def test_the_package_is_not_imported(monkeypatch):
    forbid_the_package(monkeypatch)
    load_again()
    assert "torchvision" not in sys.modules
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 2, 2]])
    assert nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]


@pytest.mark.parametrize("folder", ["missing", "broken", None])
def test_without_its_library_the_package_is_imported(monkeypatch, tmp_path, folder):
    """The library is not where it is looked for, or does not fit, or there is no package."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "_C.so").write_bytes(b"no library")
    spec = folder and SimpleNamespace(submodule_search_locations=[str(tmp_path / folder)])
    monkeypatch.setattr(suppression, "find_spec", lambda name: spec)
    monkeypatch.setattr(torch.ops, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    with pytest.raises(ImportError, match=r"torchvision\.ops"):
        load_again()
