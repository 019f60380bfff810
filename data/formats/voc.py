"""Pascal VOC annotations: a small XML file for each image, read directly by data/scanning/scan.py
through VocReader.

Pixels in VOC count from 1 and a box includes its last one, so xmin and ymin lose 1 and xmax and
ymax stay: a box over the whole image becomes (0, 0, width, height). Boxes are clipped to the
image, and those left without area dropped. Objects marked difficult are kept. Documents that
declare entities are refused before any is expanded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from data.formats.yolo import LabelError, LabelledObject, Labels, clip_objects, read_label_file
from data.report import KEPT, Entry

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocReader:
    """Reads the XML file of each image; names maps a class's name to its number."""

    def __init__(self, xml_paths: Sequence[str], names: dict[str, int]) -> None:
        self.xml_paths, self.names = xml_paths, names

    def read(self, number: int, size: tuple[int, int]) -> Labels:
        """Labels of image `number` of (height, width) `size`. Raises LabelError."""
        path = self.xml_paths[number]
        data = read_label_file(path)
        if data is None:
            return Labels(there=False)
        root = parse_xml(data)
        objects = [_read_object(row, item) for row, item in enumerate(root.iter("object"), 1)]
        labels = clip_objects(objects, size, self.names, path)
        return replace(labels, entries=(*_size_oddity(root, size, path), *labels.entries))


def parse_xml(data: bytes) -> Element:
    """The root element.

    Raises LabelError for what is no XML, and for any document type declaration.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
        return builder.close()
    except (
        expat.ExpatError,
        ValueError,
        LookupError,
    ) as error:  # the latter two: encodings it does not know
        raise LabelError(getattr(error, "lineno", 0), "not valid XML", str(error)) from None


def _refuse_doctype(name: str, *_: object) -> None:
    raise LabelError(
        0,
        "XML with a document type",
        f"<!DOCTYPE {name[:20]}>; entities are not expanded, remove it",
    )


def _read_object(row: int, item: Element) -> LabelledObject:
    """An <object>, its pixels now counting from 0. Raises LabelError."""
    corners = []
    for tag in CORNERS:
        text = item.findtext(f"bndbox/{tag}") or ""
        try:
            corners.append(float(text))
        except ValueError:
            raise LabelError(
                row, "not a number", f"<{tag}> {text.strip()[:40]!r} of object {row}"
            ) from None
        if not math.isfinite(corners[-1]):
            raise LabelError(
                row, "value is not finite", f"<{tag}> {text.strip()[:40]} of object {row}"
            )
    x1, y1, x2, y2 = corners
    return LabelledObject(row, (item.findtext("name") or "").strip(), (x1 - 1, y1 - 1, x2, y2))


def _size_oddity(root: Element, size: tuple[int, int], path: str) -> list[Entry]:
    stated = (
        (root.findtext("size/height") or "").strip(),
        (root.findtext("size/width") or "").strip(),
    )
    if not all(stated) or stated == (str(size[0]), str(size[1])):
        return []
    detail = (
        f"{stated[1][:12]}x{stated[0][:12]} in the label file, {size[1]}x{size[0]} in the image"
    )
    return [Entry(path, 0, KEPT, "image sizes differ", detail)]
