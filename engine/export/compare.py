"""A written file beside the model that it was made of: how much their outputs differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.export.task import ExportTask
from utils.errors import UserError
from utils.text import printable

# The largest allowed difference of a file's output, absolute for values up to 1 and relative above;
# ten times what rounding in float32 explains.
MOST_DIFFERENCE = 1e-3


def compare(
    task: ExportTask, name: str, run: Callable[[Tensor], Tensor], exact: bool | None = None
) -> None:
    """Print how much a file's output differs from the model's; with --dynamic also at another size.

    A difference beyond rounding is an error, except with half precision or suppression, where a
    rounded score may swap boxes.

    Args:
        task: The model and an example input.
        name: The format.
        run: Computes the file's output.
        exact: Whether a larger difference is an error; None decides by precision and suppression.

    Raises:
        UserError: The outputs differ by more than rounding.
    """
    suppresses = task.model.suppression is not None
    if exact is None:
        exact = task.images.dtype == torch.float32 and not suppresses
    shapes = [task.images.shape, *([_another(task)] if task.dynamic else [])]
    worst = [_difference(task, run, shape) for shape in shapes]
    if suppresses and all(one is None for one in worst):
        print(
            f"{name}: not compared with the model: neither finds anything in noise; a lower"
            " --conf-thres would"
        )
        return
    # Written so that NaN is the largest.
    most = max((one for one in worst if one is not None), key=lambda one: (one != one, one))
    print(f"{name}: differs from the model by {most:.1e} at most, relative to values above 1")
    if exact and not most <= MOST_DIFFERENCE:
        raise UserError(
            f"{name}: the file's output differs by {most:.1e}; please report the graph, and use"
            " another format"
        )


def not_run(name: str, library: str, error: Exception, task: ExportTask) -> UserError:
    """The error for a written file that its library cannot run, in one line.

    Args:
        name: The format.
        library: What runs it.
        error: What that raised.
        task: Whether it is dynamic decides the remedy.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = printable(lines[-1] if lines else type(error).__name__, 200)
    hint = "leave --dynamic out, or " if task.dynamic else ""
    return UserError(f"{name}: {library} cannot run the file ({reason}); {hint}use another format")


def noise_like(images: Tensor, shape: torch.Size) -> Tensor:
    """Noise of a shape in 0..1, since many errors would not show on an image of zeros."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(images)


def _another(task: ExportTask) -> torch.Size:
    """The shape of an input that a dynamic file must take too."""
    batch, channels, height, width = task.images.shape
    more = batch if task.model.suppression is not None else batch + 1
    return torch.Size((more, channels, height, width + 2 * int(task.metadata["stride"])))


def _difference(
    task: ExportTask, run: Callable[[Tensor], Tensor], shape: torch.Size
) -> float | None:
    """The largest difference for noise of a shape; None if both find nothing at all."""
    images = noise_like(task.images, shape)
    theirs = run(images).float()
    with torch.inference_mode():
        ours = task.model(images).float().cpu()
    if task.model.suppression is not None and not ours.any() and not theirs.any():
        return None
    return float(((theirs - ours).abs() / ours.abs().clamp(min=1)).max())
