"""A module of your own: examples/my_attention.py in a graph, trained, scored and compared.

    python examples/own_module.py

`--modules FILE.py` makes the classes of a file available by their names, in YAML files and in
--attention. The example prints the graph with the module in its neck, trains it, shows that val.py
asks for the file, since a checkpoint stores no code, and compares the module with SimAM in a dry
run, which trains nothing.
"""

from __future__ import annotations

from pathlib import Path

from steps import draw_shapes, read_folder, run

OWN = "--modules examples/my_attention.py"
SIZE = "--imgsz 64 --workers 0 --device cpu"


def main(folder: Path) -> None:
    data = draw_shapes(folder, train=96, val=32)
    graph = "--cfg models/yolov5n.yaml --attention StripGate:kernel_size=5@neck"

    run(f"python models/yolo.py {graph} {OWN} --out {folder / 'yolov5n_StripGate.yaml'}")
    runs = f"--data {data} --project {folder} {SIZE}"
    run(f"python train.py {graph} {OWN} --epochs 4 --batch-size 8 --name train {runs}")
    run(f"python val.py --weights {folder / 'train/weights/best.pt'} {OWN} --name val {runs}")

    arms = "--attention StripGate SimAM --at neck --seeds 3 --epochs 4 --batch-size 8"
    study = f"--cfg models/yolov5n.yaml --data {data} {SIZE} --project {folder}"
    run(f"python ablate.py {study} {OWN} {arms} --cores-per-cell 1 --dry-run")


if __name__ == "__main__":
    main(read_folder(__doc__.splitlines()[0], "own_module"))
