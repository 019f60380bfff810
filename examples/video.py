"""A video: every frame is searched, and the boxes are written to a video and to label files.

    python examples/video.py

The example trains a small network for some seconds, writes a video of twelve of its validation
images, and searches it twice: every frame, and with --vid-stride every third one. A camera
(--source 0) and a stream (--source rtsp://…) are searched by the same command.
"""

from __future__ import annotations

from pathlib import Path

import cv2
from steps import draw_shapes, read_folder, run

from data.images import read_image
from utils.yaml_file import load_yaml

FRAMES, RATE = 12, 6  # frames, and how many of them a second
SIZE = "--imgsz 64 --device cpu"


def write_video(files: list[Path], video: Path) -> None:
    """Write images as a video; smaller ones get a grey border, since all frames have one size.

    Raises SystemExit if this build of OpenCV writes no MP4 files.
    """
    images = [read_image(file) for file in files]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(video), code, RATE, (width, height))
    if not writer.isOpened():
        raise SystemExit(f"{video}: this build of OpenCV writes no MP4 files")
    for image in images:
        below, right = height - image.shape[0], width - image.shape[1]
        grey = (114, 114, 114)
        writer.write(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=grey))
    writer.release()


def count_boxes(folder: Path) -> str:
    """How many frames of a run of detect.py have boxes, and how many boxes there are."""
    files = sorted((folder / "labels").glob("*.txt"))
    boxes = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    return (
        f"{boxes} boxes in {len(files)} frames, {folder.name}/labels/{files[0].name} is the first"
    )


def main(folder: Path) -> None:
    data = draw_shapes(folder, train=96, val=FRAMES)
    train = f"--data {data} --epochs 20 --batch-size 8 --workers 0 --name train"
    runs = f"--project {folder} {SIZE}"
    run(f"python train.py --cfg models/yolov5n.yaml {train} {runs}")

    video = folder / "shapes.mp4"
    write_video(sorted((Path(load_yaml(data)["path"]) / "images/val").iterdir()), video)
    # After so short a training the scores are low; with your weights leave --conf-thres out.
    search = f"--weights {folder / 'train/weights/best.pt'} --source {video} --conf-thres 0.05"
    for name, more in (("every", ""), ("third", " --vid-stride 3")):
        run(f"python detect.py {search} --save-txt --name {name}{more} {runs}")
        print(count_boxes(folder / name))


if __name__ == "__main__":
    main(read_folder(__doc__.splitlines()[0], "video"))
