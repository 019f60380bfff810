"""The memory of the machine is a plausible number, and a container's limit counts."""

from data import memory


def test_memory_is_plausible(tmp_path, monkeypatch):
    assert 10**7 < memory.available_memory() <= memory.total_memory() < 10**14
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\nshmem 100000\n")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert memory.total_memory() == 1_000_000
    assert memory.available_memory() == 600_000
