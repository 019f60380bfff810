"""Grey models, which have one input channel: how images become grey, for training and detection.

Images stay [H, W, 3] with equal channels up to the network's input, so that every transform is the
same as in colour; then the first channel is taken.
"""

from __future__ import annotations

import numpy as np

from utils.errors import UserError

COLOUR, ONE_GREY = 3, 1  # input channels of the models that images can be given to


def grey_image(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 BGR -> the same shape with the luminance in all channels.

    The weights are those of OpenCV's grey images (ITU-R BT.601); a grey image stays as it is.
    """
    import cv2

    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def check_channels(channels: int, where: str) -> int:
    """Return a number of channels that images can have.

    Args:
        channels: The number.
        where: The file or model, and the key, for the error.

    Raises:
        UserError: Images cannot be read with this number of channels.
    """
    if channels not in (COLOUR, ONE_GREY):
        raise UserError(
            f"{where}: {channels}: images are read in colour (3 channels) or in grey (1), others,"
            " such as alpha or infrared, are dropped; write 3 or 1"
        )
    return channels


def channel_notes(channels: int, wanted: int, data: str) -> tuple[str, ...]:
    """What a user must know whose data set and model differ in their channels.

    Args:
        channels: Of the model.
        wanted: `channels` of the data set's YAML, 0 if it has none.
        data: Path of that YAML.
    """
    if channels == ONE_GREY and wanted != ONE_GREY:
        return ("the model has 1 input channel, so all images are read in grey",)
    if channels == COLOUR and wanted == ONE_GREY:
        return (
            f"{data} says channels: 1, but the model has 3 input channels, so images are read in"
            " colour; grey files give three equal channels",
        )
    return ()
