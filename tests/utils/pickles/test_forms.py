"""Files that are given as checkpoints but are something else are called what they are."""

from __future__ import annotations

import struct

import pytest

from utils.pickles.forms import other_form

SAFETENSORS = struct.pack("<Q", 20) + b'{"a":{"dtype":"F32"}'


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("a.pt", b"", "is empty"),
        ("a.pt", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("a.pt", b"<!DOCTYPE html><html>", "is a web page"),
        ("a.pt", b"\n  <html>", "is a web page"),
        ("a.safetensors", SAFETENSORS, "is a safetensors file"),
        ("a.pt", SAFETENSORS, "is a safetensors file"),
        ("a.pt", b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras"),
        ("a.pt", bytes(257) + b"ustar", "is a tar file, as torch 0.1"),
        ("a.pt", b"\x80\x02\x8a\nl\xfc\x9cF", "is a bare pickle, as torch before 1.6"),
        ("a.onnx", b"\x08\x07\x12\x07pytorch", "is an exported file"),
        ("a.pt", b"\x08\x07\x12\x07pytorch", "is an exported file"),
        ("a.engine", b"\x00\x01\x02", "is an exported file"),
        ("yolov4.weights", b"\x00\x00\x00\x00\x02", "is a Darknet file"),
        ("a.pt", b"\x1f\x8b\x08", "is a compressed file; unpack it"),
        ("a.pt", b"\x89PNG\r\n", "is an image; give it as --source"),
        ("a.pt", bytes(512), "begins with zeros"),
        ("a.pt", b"nc: 80\nbackbone:\n", "is a text file"),
        ("a.pt", bytes(range(1, 256)), "is not a file of torch.save"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(
    name: str, start: bytes, words: str
) -> None:
    assert words in other_form(name, start)


def test_archives_are_left_to_the_reader() -> None:
    assert other_form("a.pt", b"PK\x03\x04" + bytes(100)) == ""
