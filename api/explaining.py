"""model.explain(): explain.py's heat maps from Python."""

from __future__ import annotations

from pathlib import Path

from api.fused import Network
from api.keywords import read_keywords
from api.weights import trainable
from data.sources.memory import open_any
from data.sources.open import usual_source
from engine.explain.explainer import Explainer, Explanation
from engine.explain.report import report
from engine.explain.settings import ExplainConfig
from utils.cli import build
from utils.errors import UserError
from utils.files import next_folder


class ExplainCalls:
    """A base class of YOLO with its call explain()."""

    _device: str
    save_dir: Path | None
    weights: str
    cfg: str
    _trained_at: int
    _data: str

    def _ready(self, name: str = "", half: bool = False, tf32: bool = False) -> Network:
        raise NotImplementedError

    def explain(
        self, source: object = None, save: bool = False, verbose: bool = True, **options: object
    ) -> list[Explanation]:
        """Show what the model looks at.

        Args:
            source: as for predict().
            save: whether to write the figures, PNG and PDF, into save_dir.
            verbose: whether to print a line per image.
            options: explain.py's flags (method, per, layers, conf, imgsz, gates, check …).

        Returns:
            For each image its targets with their heat maps [H, W] in 0..1, in pixels of the image:
            explanation.targets[0].panels["model"].heat.

        Raises:
            UserError: a keyword, a value or the source is wrong.
        """
        defaults = {"device": self._device or None, "imgsz": self._trained_at or None}
        given, _ = read_keywords(ExplainConfig, {**defaults, **options}, "explain")
        config = build(ExplainConfig, given)
        asked = config.gates or config.features or config.check or config.receptive_field
        if asked and not save:
            raise UserError("explain: gates, features and check are figures; write save=True too")
        network = trainable(self._ready(config.device, tf32=config.tf32), "explain")
        frames = usual_source(self._data) if source is None else open_any(source, config.vid_stride)
        explainer = Explainer({"model": network}, config)
        folder = next_folder(config.project, config.name, config.exist_ok) if save else None
        self.save_dir = folder or self.save_dir
        try:
            return [report(frame, explainer, folder, verbose) for frame in frames]
        finally:
            frames.close()
