"""The command line of train.py: the flags of TrainConfig, and those of YOLOv5 that are refused."""

from __future__ import annotations

from utils.cli import CommandLine
from utils.config import NOT_HERE, TrainConfig

TUNE = "python tune.py --cfg FILE --data FILE --trials 30"
# Flags of YOLOv5's train.py that this project does not have, each with an alternative.
REFUSED_TRAIN_FLAGS = {
    "--evolve": f"{NOT_HERE}'s train.py; search hyperparameters with tune.py: {TUNE}",
    "--evolve-population": f"{NOT_HERE}'s train.py; tune.py searches hyperparameters: {TUNE}",
    "--resume-evolve": "is not needed; tune.py continues a search by the same command",
    "--bucket": f"{NOT_HERE}; copy runs/ to your storage with its own tool",
    "--quad": f"{NOT_HERE}; use --multi-scale, or a larger --imgsz",
    "--local-rank": "is set by torchrun; start with `torchrun --nproc_per_node N train.py …`",
    "--entity": f"{NOT_HERE}; results.csv and TensorBoard files are written to the run's folder",
    "--upload-dataset": f"{NOT_HERE}; nothing is ever uploaded",
    "--bbox-interval": f"{NOT_HERE}; look at val_batch*.jpg in the run's folder",
    "--artifact-alias": f"{NOT_HERE}; checkpoints are in the run's weights/ folder",
}
TRAIN_LINE = CommandLine(TrainConfig, "Train a detector.", REFUSED_TRAIN_FLAGS)
