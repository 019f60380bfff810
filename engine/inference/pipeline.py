"""The frames of a source through a detector, which are read ahead of it.

A live source is not read ahead, since its newest frames are wanted. As a library:

    for found in predict(load_model("best.pt"), "images/", DetectConfig()):
        ...
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path

from data.sources.open import LiveFrames, Source, open_source
from engine.detector_model import DetectorModel
from engine.inference.at_once import Computing, Item
from engine.inference.console import Console, Found
from engine.inference.detector import Detector
from engine.inference.prepared import Prepared
from engine.inference.settings import DetectConfig
from engine.inference.threads import ReadAhead
from utils.structures import Detections, Frame

AHEAD = 8  # frames, at most, that are read and not yet computed
MANY = 1 << 30  # frames


def found_in(source: Source, detector: Detector) -> Generator[Found, None, None]:
    """Yield what is found in each frame of a source, in order.

    Closing the iterator stops its threads; the source stays open.
    """
    if isinstance(source, LiveFrames):
        return _found_live(source, detector)
    return _found_ahead(source, detector)


def show(
    source: Source, detector: Detector, console: Console, write: Callable[[Found], bool]
) -> Generator[Found, None, None]:
    """Yield what is found in each frame, once it is written and shown on the console.

    Args:
        source: Where the frames come from.
        detector: Finds objects in them.
        console: Shows them.
        write: Writes them; it returns False if the user wants to stop.
    """
    with contextlib.closing(found_in(source, detector)) as results:
        for found in results:
            # A line is printed for what will be written, even if Ctrl-C comes in between.
            go_on = write(found)
            console.show(found)
            yield found
            if not go_on:
                break


def _found_live(source: LiveFrames, detector: Detector) -> Generator[Found, None, None]:
    with contextlib.closing(Computing(detector, source.items)) as compute:
        for frames in source.rounds(compute.count):
            for found in compute(map(detector.prepare, frames)):
                if isinstance(found, Found):  # and no note, since live sources say them themselves
                    yield found


def _found_ahead(source: Source, detector: Detector) -> Generator[Found, None, None]:
    with contextlib.ExitStack() as stack:
        ahead = ReadAhead[Item](map(detector.prepare, source), AHEAD)
        stack.callback(setattr, source, "warn", source.warn)
        stack.callback(ahead.close)
        # A note of the source is said after the lines of the frames before it.
        warn, source.warn = source.warn, ahead.insert
        items = iter(ahead)
        for item in items:
            if isinstance(item, Prepared):
                break
            warn(item)
        else:
            return
        compute = Computing(detector, 1 if _is_alone(item) else MANY)
        stack.callback(compute.close)
        for answer in compute(chain([item], items)):
            if isinstance(answer, Found):
                yield answer
            else:
                warn(answer)


def _is_alone(first: Prepared) -> bool:
    """Whether a source has no other frame than its first."""
    return first.frame.kind == "image" and first.frame.items == 1


def predict(
    model: DetectorModel,
    source: str | Path | Iterable[Frame],
    config: DetectConfig | None = None,
) -> Iterator[Detections]:
    """Yield the Detections of each image or frame of a source, in order; write and draw nothing.

    Args:
        model: A network in evaluation mode.
        source: Text as for --source, or Frames.
        config: The flags of detect.py; None takes the defaults.

    Raises:
        UserError: The source is missing.
    """
    config = config or DetectConfig()
    detector = Detector(model, config)
    detector.is_timed = False
    if not isinstance(source, (str, Path)):
        yield from (detector(frame).detections for frame in source)
        return
    with (
        contextlib.closing(open_source(str(source), config.vid_stride)) as frames,
        contextlib.closing(found_in(frames, detector)) as results,
    ):
        yield from (found.detections for found in results)
