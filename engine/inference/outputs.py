"""All outputs of detect.py, chosen by its flags: the files of writers.py, and a window."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from data.sources.open import Source
from engine.inference.console import Console, Found, Viewer, annotated, why_no_window
from engine.inference.settings import DetectConfig
from engine.inference.threads import WriteBehind
from engine.inference.writers import CropWriter, ImageWriter, LabelWriter, TableWriter
from utils.errors import UserError
from utils.output import print_anywhere
from utils.structures import Detections, Frame
from utils.text import counted, printable
from utils.writing import Unwritten

BEHIND = 4  # frames, at most, that are computed and not yet written


class Outputs:
    """Writes and shows what the flags ask for; folder is None if nothing is written."""

    def __init__(self, config: DetectConfig, folder: Path | None) -> None:
        self.config, self.folder = config, folder
        self.unwritten = Unwritten()
        self.labels: LabelWriter | None = None
        self.images: ImageWriter | None = None
        self._writers: list[Callable[[Frame, Detections], None]] = []
        self._viewer: Viewer | None = None
        if folder is not None:
            self._add_writers(folder)
        if config.view_img:
            reason = why_no_window()
            if reason:
                print(f"--view-img: {reason}; going on without a window")
            self._viewer = None if reason else Viewer()

    def _add_writers(self, folder: Path) -> None:
        config = self.config
        if config.save_txt:
            self.labels = LabelWriter(folder / "labels", config.save_conf, config.save_format == 1)
            self._writers.append(self.labels)
        if config.save_csv:
            self._writers.append(TableWriter(folder / "predictions.csv"))
        if config.save_crop:
            self._writers.append(CropWriter(folder / "crops"))
        if not config.nosave:
            self.images = ImageWriter(folder)

    @contextlib.contextmanager
    def writing(self, behind: bool = True) -> Iterator[Callable[[Found], bool]]:
        """Within the block, write frames; the function that it yields is called with each.

        At the end of the block everything is written and closed.

        Args:
            behind: Write by a thread, in order. With a window all is done at once nevertheless,
                since windows belong to the main thread, and the user may want to stop.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            if not behind or self._viewer is not None:
                yield self
                return
            writer = WriteBehind(self, BEHIND)
            stack.callback(writer.close)
            yield writer

    def __call__(self, found: Found) -> bool:
        """Write and show one frame; return False if the user wants to stop."""
        for write in self._writers:
            with self.unwritten.allowed():
                write(found.frame, found.detections)
        config = self.config
        # Drawing takes time, so nothing is drawn if nobody will see it.
        if self.images is None and self._viewer is None:
            return True
        drawn = annotated(
            found,
            config.line_thickness,
            not config.hide_labels,
            not config.hide_conf,
            config.font_size,
        )
        if self.images is not None:
            with self.unwritten.allowed():
                self.images(found.frame, drawn)
        return self._viewer(found.frame, drawn) if self._viewer else True

    def add(self, write: Callable[[Frame, Detections], None]) -> None:
        """Call a writer with each frame too."""
        self._writers.append(write)

    def close(self) -> None:
        """Finish the videos and close the windows."""
        with self.unwritten.allowed():
            if self.images is not None:
                self.images.close()
        if self._viewer is not None:
            self._viewer.close()


def conclude(source: Source, console: Console, outputs: Outputs) -> None:
    """Print where the results are and what could not be read.

    Args:
        source: The source, after its last frame.
        console: The console, which has counted the frames.
        outputs: The run's outputs.

    Raises:
        UserError: Nothing of the source could be read, or some results could not be written.
    """
    if source.skipped:
        names = ", ".join(printable(path) for path, _ in source.skipped)
        print_anywhere(f"{len(source.skipped)} of {source.items} could not be read: {names}")
    if not console.frames:
        path, reason = source.skipped[0] if source.skipped else ("the source", "it gave no frame")
        path = printable(path)
        raise UserError(f"--source: nothing could be read; {path}: {reason}")
    if outputs.folder is not None:
        print(f"Results saved to {printable(outputs.folder)}")
    if outputs.labels is not None and outputs.folder is not None:
        labels = printable(outputs.folder / "labels")
        print(f"{counted(outputs.labels.written, 'label file')} saved to {labels}")
    outputs.unwritten.report()
