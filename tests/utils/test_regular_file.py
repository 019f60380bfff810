"""Only regular files of a sensible size are read, and text in every encoding that editors write."""

from __future__ import annotations

import os
import socket

import pytest

from utils.errors import UserError
from utils.regular_file import decode_text, open_regular, read_limited


def test_a_named_pipe_a_socket_a_device_and_links_to_them_are_refused_and_never_waited_for(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    os.symlink("/dev/zero", "zeros")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
        for path, message in (
            ("pipe", "is a named pipe"),
            ("link", "is a named pipe"),
            ("zeros", "is a device"),
            ("socket", "cannot be read|is a socket"),
            (".", "is a folder"),
            ("zero\0byte", "cannot be read"),
        ):
            with pytest.raises(UserError, match=message):
                read_limited(path)


def test_a_file_beyond_the_bound_is_refused_before_it_is_read_whole(tmp_path):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(10**12)  # without blocks on the disk
    with pytest.raises(UserError, match="is larger than 10 MB"):
        read_limited(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_text_is_decoded_with_and_without_a_byte_order_mark(encoding):
    assert decode_text("names: ä猫".encode(encoding)) == ("names: ä猫", "names: ä猫")


def test_bytes_of_no_character_are_left_out_of_one_text_and_marked_in_the_other():
    assert decode_text(b"a\xe9b") == ("ab", "a\ufffdb")


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
