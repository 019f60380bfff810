"""Tell from its first bytes what a file is that is given as a checkpoint but is none."""

from __future__ import annotations

import re

START = 512  # bytes that are looked at
AGAIN = "open it where it was made and save it again with torch.save of torch 1.6 or later"
TENSORS = "load its tensors in Python, write them with torch.save, and give the graph as --cfg"
EXPORTED = "is an exported file, for its own runtime; give the checkpoint that it was exported from"
EXPORTED_SUFFIXES = (
    *(".onnx", ".torchscript", ".engine", ".plan", ".tflite", ".pb", ".mlmodel", ".mlpackage"),
    *(".xml", ".bin", ".param", ".ncnn", ".mnn", ".rknn", ".trt", ".om", ".blob", ".kmodel"),
)
# What a file begins with -> what it is and what to do.
STARTS = (
    (rb"version https://git-lfs", "is a pointer of Git LFS, not the file; run `git lfs pull`"),
    (rb"\xef?\xbb?\xbf?\s*<", "is a web page, as failed downloads leave; download the file again"),
    (rb".{8}\s*\{", f"is a safetensors file, which is not read; {TENSORS}"),
    (rb"\x89HDF", "is an HDF5 file, as Keras writes them, and no model of this project"),
    (rb".{257}ustar", f"is a tar file, as torch 0.1 wrote them, which is not read; {AGAIN}"),
    (rb"\x80", f"is a bare pickle, as torch before 1.6 wrote them, which is not read; {AGAIN}"),
    (rb".{4}TFL3|\x08[\x01-\x20]\x12|[fp]trt|.{4}\{", EXPORTED),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "is a compressed file; unpack it first"),
    (rb"\x93NUMPY", f"is an array of numpy, which is not read; {TENSORS}"),
    (
        rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0\0\0\0|II\*\0|MM\0\*",
        "is an image; give it as --source",
    ),
)
TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{1,512}")


def other_form(name: str, start: bytes) -> str:
    """What a file is if torch.save of today did not write it, and what to do; "" if it may have.

    name is that of the file, start its first START bytes.
    """
    if start.startswith(b"PK\x03\x04"):
        return ""
    if not start:
        return "is empty; get the file again"
    if name.lower().endswith(EXPORTED_SUFFIXES):
        return EXPORTED
    if name.lower().endswith(".weights"):
        return "is a Darknet file, which is not read; convert it to a checkpoint of YOLOv5 first"
    for pattern, words in STARTS:
        if re.match(pattern, start, re.DOTALL):
            return words
    if not start.strip(b"\0"):
        return "begins with zeros, as an interrupted write or download leaves; take another copy"
    if TEXT.fullmatch(start):
        return "is a text file and no checkpoint; a model YAML ends in .yaml and is given as --cfg"
    return "is not a file of torch.save, or its beginning is damaged; take another copy of it"
