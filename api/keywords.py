"""Keywords of a Python call -> fields of a configuration: the door of api/, as utils/cli.py is the
command line's.

The names are Ultralytics' (batch, conf, save …) and this project's own (batch_size, conf_thres,
nosave …).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from utils.errors import UserError

RENAMED = {
    "batch": "batch_size",
    "conf": "conf_thres",
    "iou": "iou_thres",
    "split": "task",
    "show": "view_img",
    "line_width": "line_thickness",
}
TURNED: dict[str, tuple[str, Callable[[Any], Any]]] = {  # to fields of another meaning
    "save": ("nosave", lambda on: not on),
    "val": ("noval", lambda on: not on),
    "plots": ("noplots", lambda on: not on),
    "show_labels": ("hide_labels", lambda on: not on),
    "show_conf": ("hide_conf", lambda on: not on),
    "amp": ("precision", lambda on: "auto" if on else "fp32"),
}
UNDERSTOOD = {  # keyword -> values that ask for what happens anyway
    "task": ("detect",),
    "mode": ("train", "val", "predict", "export"),
    "deterministic": (True,),
    "visualize": (False,),
    "retina_masks": (False,),
    "int8": (False,),
    "profile": (False,),
    "stream_buffer": (False,),
}
SETTLED: dict[
    str, dict[str, str]
] = {  # call -> fields that the object or the call itself sets, with the remedy
    "val": {"weights": "are the model's own; write YOLO('FILE.pt').val()"},
    "predict": {
        "weights": "are the model's own; write YOLO('FILE.pt').predict()",
        "data": "class names are the model's own; leave it out",
    },
    "export": {
        "weights": "are the model's own; write YOLO('FILE.pt').export()",
        "include": "is called format here, and takes one",
        "save_upstream": "has no call; use python export.py --save-upstream",
    },
}


class KeywordError(UserError, ValueError):
    """A keyword that is not known, or a value that it cannot have."""


def device_text(device: Any) -> str:
    """0, [0, 1], 'cpu', torch.device('cuda:0'), None -> the text of --device."""
    if isinstance(device, (list, tuple)):
        return ",".join(str(number) for number in device)
    return "" if device is None else str(device)


def read_keywords(
    kind: type, options: Mapping[str, Any], call: str, more: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords of call -> ({field: value} of the dataclass kind, {name: value} of those that `more`
    lists).

    None means that a keyword was not given. Where a name is in both, text goes to the field. Raises
    KeywordError for an unknown keyword, with those like it, and for a value that is none of its
    choices; types and ranges are checked where the dataclass is built.
    """
    settled = SETTLED.get(call, {})
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in settled}
    values: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in options.items():
        field, turn = TURNED.get(name, (RENAMED.get(name, name), None))
        if value is None:
            continue
        if name in settled:
            raise KeywordError(f"{call}: {name}={value!r}: {settled[name]}")
        if name in more and not (field in fields and isinstance(value, str)):
            others[name] = value
        elif field in fields:
            values[field] = _fit(fields[field], turn(value) if turn else value, f"{call}: {name}")
        elif value not in UNDERSTOOD.get(name, ()):
            raise KeywordError(_unknown(name, value, call, {*fields, *more, *_spellings(fields)}))
    return values, others


def _spellings(fields: Collection[str]) -> list[str]:
    """Other keywords that lead to one of the fields."""
    turned = {name: field for name, (field, _) in TURNED.items()}
    return [name for name, field in {**RENAMED, **turned}.items() if field in fields]


def _unknown(name: str, value: Any, call: str, known: Collection[str]) -> str:
    if name in UNDERSTOOD:
        return f"{call}: {name}={value!r}: is not part of this project; leave it out"
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(sorted(known))}"
    return f"{call}: {name}={value!r}: no such keyword; {hint}"


def _fit(field: dataclasses.Field[Any], value: Any, where: str) -> Any:
    """The value in its field's own form.

    Raises KeywordError if it is none of the field's choices.
    """
    if isinstance(value, Path):
        value = str(value)
    if field.name == "device":
        value = device_text(value)
    elif field.name == "cache" and isinstance(value, bool):
        value = "ram" if value else "no"
    elif isinstance(field.default, tuple):
        value = tuple(value) if isinstance(value, (list, tuple, range)) else (value,)
    elif isinstance(field.default, int) and isinstance(value, (list, tuple)) and value:
        value = max(value)  # imgsz=[480, 640], where the longer side is meant
    choices = field.metadata.get("choices")
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
            raise KeywordError(f"{where}={one!r}: must be one of {', '.join(map(str, choices))}")
    return value
