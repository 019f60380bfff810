"""Keywords of a Python call become fields of a configuration, as command lines do in utils/cli.py.

Both Ultralytics' names (batch, conf, save …) and this project's own (batch_size, conf_thres,
nosave …) are accepted.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.text import shown

Keywords = dict[str, Any]  # values are checked where the configuration is built

RENAMED = {
    "batch": "batch_size",
    "conf": "conf_thres",
    "iou": "iou_thres",
    "split": "task",
    "show": "view_img",
    "line_width": "line_thickness",
}
CONVERTED: dict[
    str, tuple[str, Callable[[object], object]]
] = {  # keyword -> field, and conversion of its value
    "save": ("nosave", lambda on: not on),
    "val": ("noval", lambda on: not on),
    "plots": ("noplots", lambda on: not on),
    "show_labels": ("hide_labels", lambda on: not on),
    "show_conf": ("hide_conf", lambda on: not on),
    "amp": ("precision", lambda on: "auto" if on else "fp32"),
}
UNDERSTOOD: dict[str, tuple[object, ...]] = {  # keyword -> values that are accepted and ignored
    "task": ("detect",),
    "mode": ("train", "val", "predict", "export"),
    "deterministic": (True,),
    "retina_masks": (False,),
    "int8": (False,),
    "profile": (False,),
    "stream_buffer": (False,),
}
MODULES = "are imported when the model is made; write YOLO(…, modules='FILE.py')"
RESERVED = {  # call -> fields that a keyword must not set, with the remedy
    "val": {"weights": "are the model's own; write YOLO('FILE.pt').val()", "modules": MODULES},
    "predict": {
        "weights": "are the model's own; write YOLO('FILE.pt').predict()",
        "data": "class names are the model's own; leave it out",
        "modules": MODULES,
    },
    "explain": {
        "weights": "are the model's own; write YOLO('FILE.pt').explain()",
        "modules": MODULES,
    },
    "export": {
        "weights": "are the model's own; write YOLO('FILE.pt').export()",
        "include": "is called format here, and takes one",
        "modules": MODULES,
        "save_upstream": "has no call; use python export.py --save-upstream",
    },
}


class KeywordError(UserError, ValueError):
    """An unknown keyword, or an impossible value of one."""


def device_text(device: object) -> str:
    """Convert 0, [0, 1], 'cpu', torch.device('cuda:0') or None to the text of --device."""
    if isinstance(device, (list, tuple)):
        return ",".join(str(number) for number in device)
    return "" if device is None else str(device)


def attention_texts(attention: object) -> tuple[str, ...]:
    """Read attention= of YOLO: None, one text or several. Raises KeywordError for anything else."""
    texts = (attention,) if isinstance(attention, str) else () if attention is None else attention
    if not isinstance(texts, (list, tuple)) or not all(isinstance(one, str) for one in texts):
        raise KeywordError(
            f"YOLO: attention={shown(attention)}: must be text such as 'SimAM@neck', or a list"
            " of such"
        )
    return tuple(texts)


def read_keywords(
    kind: type, options: Mapping[str, object], call: str, more: Collection[str] = ()
) -> tuple[Keywords, Keywords]:
    """Split the keywords of a call into fields of a configuration and other settings.

    A keyword with the value None counts as not given. Types and ranges are checked when the
    configuration is built.

    Args:
        kind: the dataclass of the configuration.
        options: keyword -> value.
        call: the method's name, for errors.
        more: names of the other settings. If a field has the same name, text is for the field.

    Returns:
        {field: value} and {name: value}.

    Raises:
        KeywordError: a keyword is unknown or reserved, or its value is none of its choices.
    """
    reserved = RESERVED.get(call, {})
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in reserved}
    values: Keywords = {}
    others: Keywords = {}
    for name, value in options.items():
        field, convert = CONVERTED.get(name, (RENAMED.get(name, name), None))
        if value is None:
            continue
        if name in reserved:
            raise KeywordError(f"{call}: {name}={shown(value)}: {reserved[name]}")
        # `scale` is a size (text) of TrainConfig and a gain (number) of the augmentation.
        if name in more and not (field in fields and isinstance(value, str)):
            others[name] = value
        elif field in fields:
            given = convert(value) if convert else value
            values[field] = _fit(fields[field], given, f"{call}: {name}")
        elif value not in UNDERSTOOD.get(name, ()):
            raise KeywordError(_unknown(name, value, call, {*fields, *more, *_spellings(fields)}))
    return values, others


def _spellings(fields: Collection[str]) -> list[str]:
    """The keywords of other names that set one of the fields."""
    converted = {name: field for name, (field, _) in CONVERTED.items()}
    return [name for name, field in {**RENAMED, **converted}.items() if field in fields]


def _unknown(name: str, value: object, call: str, known: Collection[str]) -> str:
    if name in UNDERSTOOD:
        return f"{call}: {name}={shown(value)}: is not part of this project; leave it out"
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(sorted(known))}"
    return f"{call}: {name}={shown(value)}: no such keyword; {hint}"


def _fit(field: dataclasses.Field[object], value: object, where: str) -> object:
    """Convert a value to the type of its field.

    Args:
        field: the field.
        value: the keyword's value.
        where: the call and the keyword, for errors.

    Raises:
        KeywordError: the value is none of the field's choices.
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
        value = max(value)  # imgsz=[480, 640] where the field is the longer side
    choices = field.metadata.get("choices")
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
            raise KeywordError(
                f"{where}={shown(one)}: must be one of {', '.join(map(str, choices))}"
            )
    return value
