"""Tables for the terminal: the validation lines in YOLOv5's columns, and aligned tables.

They are for people: no program reads them back.
"""

from __future__ import annotations

from collections.abc import Sequence

from utils.structures import Metrics
from utils.text import display_width, fit, printable

VAL_COLUMNS = ("Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
SPEED_STAGES = {"preprocess": "pre-process", "inference": "inference", "nms": "NMS"}


def cut_to_width(text: str, width: int) -> str:
    """Cut text to width columns, with an ellipsis where it was cut."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def val_header() -> str:
    """The header line of a validation, which is also the description of its progress bar."""
    return fit(VAL_COLUMNS[0], 22, ">") + "".join(fit(name, 11, ">") for name in VAL_COLUMNS[1:])


def val_row(name: str, images: int, instances: int, scores: Sequence[float]) -> str:
    """One row below val_header().

    Args:
        name: Name of the class, or "all".
        images, instances: Number of images and of labels with the class.
        scores: Precision, recall, mAP50, mAP50-95 in 0..1.
    """
    counts = f"{images:11d}{instances:11d}"
    return (
        fit(cut_to_width(printable(name), 21), 22, ">")
        + counts
        + "".join(f"{score:11.3g}" for score in scores)
    )


def val_table(metrics: Metrics, per_class: bool) -> str:
    """The row of all classes and, if per_class and there are several, one row for each class."""
    scores = (metrics.precision, metrics.recall, metrics.map50, metrics.map)
    rows = [val_row("all", metrics.images, metrics.instances, scores)]
    if per_class and len(metrics.classes) > 1:
        rows += [
            val_row(
                row.name, row.images, row.instances, (row.precision, row.recall, row.ap50, row.ap)
            )
            for row in metrics.classes
        ]
    return "\n".join(rows)


def area_line(metrics: Metrics) -> str:
    """AP by object size in one line, with a dash for a size that does not occur."""
    sizes = (
        ("small", metrics.ap_small),
        ("medium", metrics.ap_medium),
        ("large", metrics.ap_large),
    )
    cells = ", ".join(
        f"{name} {score:.3f}" if score == score else f"{name} -"  # NaN is not equal to itself
        for name, score in sizes
    )
    return f"AP by size of object (COCO protocol, limits 32² and 96² pixels): {cells}"


def speed_line(speed_ms: dict[str, float], shape: Sequence[int]) -> str:
    """One line with the milliseconds per image of each stage.

    shape: (batch, channels, height, width) of the model's input.
    """
    stages = ", ".join(
        f"{speed_ms.get(key, 0.0):.1f}ms {word}" for key, word in SPEED_STAGES.items()
    )
    return f"Speed: {stages} per image at shape {tuple(shape)}"


def text_table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], max_width: int = 80
) -> str:
    """An aligned table with a rule below its header, without trailing blanks.

    Args:
        headers: Names of the columns.
        rows: A value for each column; floats are shown with four significant digits, None as "".
            Columns that hold only numbers are aligned right, others left.
        max_width: Width in terminal columns to which longer cells are cut.
    """
    cells = [[cut_to_width(_cell(value), max_width) for value in row] for row in rows]
    right = [
        bool(rows) and all(_is_number(row[column]) for row in rows)
        for column in range(len(headers))
    ]
    widths = [
        max(display_width(text) for text in (name, *(row[column] for row in cells)))
        for column, name in enumerate(headers)
    ]
    lines = [headers, ["─" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            fit(text, width, ">" if flag else "<")
            for text, width, flag in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    # A line break within a cell would break the table.
    return "" if value is None else printable(" ".join(str(value).split()))


def format_seconds(seconds: float) -> str:
    """A length of time in its two largest units: 3 d 4 h, 2 h 10 min, 5 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((place for place, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value) or "0 s"
