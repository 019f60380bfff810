"""From a tutorial's YAML to a verdict: lint, correct, train from other weights, compare with seeds.

    python examples/tutorial_to_verdict.py

examples/tutorial_yolov8n.yaml is a YAML as articles print them, with an attention row whose
insertion moved all later rows, while the numbers of the skips stayed. It trains, but as another
network than its author meant. The example names the mistakes, corrects them in a copy,
trains the copy from the weights of a network without attention, and compares two modules with that
network over two seeds. All of it is far too small to be true: no other verdict than `no evidence`
comes from fewer than three seeds, and the interval says why. With your own data, 50 epochs and five
seeds the commands are the same.
"""

from __future__ import annotations

from pathlib import Path

from steps import draw_shapes, read_folder, run

SIZE = "--imgsz 64 --batch-size 16 --workers 0 --device cpu"


def main(folder: Path) -> None:
    tutorial, fixed = "examples/tutorial_yolov8n.yaml", folder / "yolov8n_fixed.yaml"
    data = draw_shapes(folder, train=96, val=32)

    run(f"python models/yolo.py --lint {tutorial}", fails=True)
    run(f"python models/yolo.py --lint {tutorial} --fix --out {fixed}", fails=True)
    run(f"python models/yolo.py --lint {fixed}")

    # These weights stand for the yolov8n.pt that you have from its owner.
    runs = f"--project {folder} --noplots {SIZE} --data {data}"
    run(f"python train.py --cfg models/yolov8n.yaml --epochs 20 --name plain {runs}")
    weights = folder / "plain/weights/best.pt"
    # With identity the module computes nothing at first, so that the weights still fit.
    start = f"--weights {weights} --attention-init identity --epochs 1"
    run(f"python train.py --cfg {fixed} {start} --name tutorial {runs}")

    # The arms need no YAML: backbone.P2 is where the tutorial's row stands.
    arms = "--attention DoubleAttention SimAM --at backbone.P2 --seeds 2 --baseline-seeds 2 --aa 0"
    study = f"--data {data} --cfg models/yolov8n.yaml {start} {SIZE} --cores-per-cell 1"
    run(f"python ablate.py {study} {arms} --project {folder}")


if __name__ == "__main__":
    main(read_folder(__doc__.splitlines()[0], "tutorial"))
