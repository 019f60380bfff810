"""Reading of XML by strangers: no entity is expanded, and the size of the tree is bounded."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from data.formats.labels import LabelError
from utils.text import printable

MAX_TAGS = 200_000  # a tree of so many elements takes some 50 MB
_DECLARED = re.compile(rb"<\?xml[^>]{0,100}encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,20})[\"']")
# expat knows no encoding with several bytes per sign but Unicode's own; Python decodes these.
EAST_ASIAN = (
    *("gbk", "gb2312", "gb18030", "cp936", "big5", "cp950", "euc-kr", "cp949"),
    *("shift_jis", "shift-jis", "sjis", "cp932", "euc-jp", "euc_jp"),
)


def parse_xml(data: bytes) -> Element:
    """The root element.

    Raises LabelError for broken or very large XML, and for a document type declaration.
    """
    if data.count(b"<") > 2 * MAX_TAGS:  # a start and an end for each element
        raise LabelError(0, "label file too large", f"more than {MAX_TAGS:,} XML elements")
    # ElementTree's own parser expands entities, a few bytes of which can fill the memory. Here
    # expat calls a handler that stops at the document type declaration.
    try:
        text, encoding = _decode_east_asian(data)
        builder, parser = TreeBuilder(), expat.ParserCreate(encoding)
        parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
        parser.CharacterDataHandler = builder.data
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.Parse(text, True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter: unknown encodings
        row = getattr(error, "lineno", 0)
        raise LabelError(row, "not valid XML", printable(error, 80)) from None


def _decode_east_asian(data: bytes) -> tuple[bytes, str | None]:
    """The document as UTF-8 if it declares one of these encodings, and what overrides it."""
    declared = _DECLARED.match(data[:200].lstrip())
    name = declared[1].decode("ascii").lower() if declared else ""
    if name not in EAST_ASIAN:
        return data, None
    return data.decode("gb18030" if name.startswith("gb") else name).encode("utf-8"), "utf-8"


def _refuse_doctype(name: str, *_: object) -> None:
    raise LabelError(
        0,
        "XML with a document type",
        f"<!DOCTYPE {printable(name, 20)}>; entities are not expanded, remove it",
    )
