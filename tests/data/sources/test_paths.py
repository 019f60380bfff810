"""What the lists of --source stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.sources.open import open_source
from utils.errors import UserError


def test_a_list_that_names_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "self.txt"
    path.write_text("self.txt\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"self\.txt:1: self\.txt: is a list"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["list.txt", "list.streams"])
def test_a_list_of_many_gigabytes_is_refused_unread(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with open(path, "wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(UserError, match="is larger than 50 MB"):
        open_source(str(path))
