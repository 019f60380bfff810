"""Only regular files are opened; nothing else may block a program."""

import os
import socket

import pytest

from data.regular import open_regular


def test_a_pipe_a_device_a_socket_and_a_folder_are_named_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for path, what in (
            (tmp_path / "pipe.jpg", "named pipe"),
            ("/dev/zero", "device"),
            (tmp_path / "s", "socket"),
            (tmp_path, "folder"),
        ):
            with pytest.raises(OSError, match=what):
                open_regular(path)


def test_a_file_and_a_link_to_it_are_opened_under_their_names(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"content")
    (tmp_path / "b.txt").symlink_to("a.txt")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    for name in ("a.txt", "b.txt"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
            assert str(file.name) == str(tmp_path / name)
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "loop.txt")
