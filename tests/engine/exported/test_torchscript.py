"""TorchScript files: those that only compute are run, all others refused before they are loaded."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from engine.exported.torchscript import open_torchscript, read_config
from tests.engine.exported.files import V5_ROWS, Rows, write_torchscript
from utils.errors import UserError

CPU = torch.device("cpu")


class Restores(nn.Module):
    """A network with a method that PyTorch runs while it loads the file."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images

    @torch.jit.export
    def __getstate__(self) -> int:
        return 1

    @torch.jit.export
    def __setstate__(self, state: int) -> None:
        self.training = state > 0


class Maps(Rows):
    """A network that reads a file as a tensor."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_file("/etc/hostname", False, 1)


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def test_a_file_is_run_with_what_it_says(tmp_path):
    runtime = open_torchscript(write_torchscript(tmp_path / "a.torchscript", batch=2), CPU)
    assert runtime.shape == (2, 3, 96, 96)
    found = runtime.run(torch.full((2, 3, 96, 96), 0.25))
    torch.testing.assert_close(found[1], torch.from_numpy(V5_ROWS) + 0.25)


@pytest.mark.parametrize(("module", "words"), [(Restores(), "__setstate__"), (Maps(), "from_file")])
def test_code_that_does_more_than_compute_is_refused(tmp_path, module, words):
    path = write_torchscript(tmp_path / "a.torchscript", scripted(module))
    with pytest.raises(UserError, match=f"its code has .*{words}.*do not load it"):
        open_torchscript(path, CPU)


def test_other_files_are_one_line(tmp_path):
    path = tmp_path / "a.torchscript"
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="is no TorchScript file"):
        open_torchscript(path, CPU)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"a checkpoint is named \.pt"):
        open_torchscript(path, CPU)
    write_torchscript(path, metadata={"names": ["a", "b"]})
    with pytest.raises(UserError, match="for which size"):
        open_torchscript(path, CPU)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is no TorchScript file"):
        open_torchscript(path, CPU)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_metadata_that_is_no_json_is_one_line(tmp_path, text):
    with pytest.raises(UserError, match="has no metadata"):
        read_config(text, tmp_path / "a.torchscript")
