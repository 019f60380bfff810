"""Your own data with Pascal VOC labels: trained on as they are, and converted to YOLO labels.

    python examples/own_data_from_voc.py

The example writes a small VOC folder (JPEGImages/, Annotations/*.xml, ImageSets/Main/*.txt) as
labelling programs do, names it in a data set YAML with `format: voc`, trains and scores on it
without a conversion, converts it with data/convert.py, and scores the same weights on the result.
The second score is the first one, since both ways give the same boxes.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from steps import draw_shapes, read_folder, run

from data.images import read_image
from utils.files import save_yaml
from utils.yaml_file import load_yaml

SIZE = "--imgsz 64 --workers 0 --device cpu"


def write_annotation(file: Path, image: Path, labels: str, names: list[str]) -> None:
    """Write one image's XML file.

    Args:
        file: the XML file to write.
        image: the image that it describes.
        labels: rows `class x y width height`, as shares of the image.
        names: the classes.
    """
    height, width, depth = read_image(image).shape
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = image.name
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", width), ("height", height), ("depth", depth)):
        ElementTree.SubElement(size, name).text = str(value)
    for row in labels.splitlines():
        kind, *numbers = row.split()
        x, y, w, h = (float(number) for number in numbers)
        one = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(one, "name").text = names[int(kind)]
        box = ElementTree.SubElement(one, "bndbox")
        corners = {  # VOC counts pixels from 1
            "xmin": (x - w / 2) * width + 1,
            "ymin": (y - h / 2) * height + 1,
            "xmax": (x + w / 2) * width,
            "ymax": (y + h / 2) * height,
        }
        for name, value in corners.items():
            ElementTree.SubElement(box, name).text = str(round(value))
    ElementTree.ElementTree(root).write(file)


def write_voc(shapes: Path, folder: Path) -> Path:
    """Write the shapes once more as a VOC folder; returns its data set YAML.

    Args:
        shapes: the data set YAML of draw_shapes().
        folder: where to write the VOC folder, voc/, and the YAML.
    """
    content, voc = load_yaml(shapes), folder / "voc"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (voc / part).mkdir(parents=True, exist_ok=True)
    source, names = Path(content["path"]), list(content["names"].values())
    for split in ("train", "val"):
        images = sorted((source / "images" / split).iterdir())
        for image in images:
            copy = voc / "JPEGImages" / f"{split}_{image.name}"
            copy.write_bytes(image.read_bytes())
            labels = (source / "labels" / split / f"{image.stem}.txt").read_text(encoding="utf-8")
            write_annotation(voc / "Annotations" / f"{copy.stem}.xml", copy, labels, names)
        listed = "".join(f"{split}_{image.stem}\n" for image in images)
        (voc / "ImageSets/Main" / f"{split}.txt").write_text(listed, encoding="utf-8")
    file = folder / "voc.yaml"
    save_yaml(file, {**content, "path": str(voc), "format": "voc", "train": "train", "val": "val"})
    return file


def main(folder: Path) -> None:
    data = write_voc(draw_shapes(folder, train=96, val=32), folder)
    print(data.read_text(encoding="utf-8").split("defaults:")[0])

    runs = f"--project {folder} {SIZE}"
    train = "python train.py --cfg models/yolov5n.yaml --epochs 8 --batch-size 8"
    run(f"{train} --data {data} --name train {runs}")
    weights = folder / "train/weights/best.pt"
    run(f"python val.py --weights {weights} --data {data} --name val-voc {runs}")

    run(f"python data/convert.py --data {data} --out {folder / 'converted'} --copy")
    converted = folder / "converted/data.yaml"
    run(f"python val.py --weights {weights} --data {converted} --name val-yolo {runs}")


if __name__ == "__main__":
    main(read_folder(__doc__.splitlines()[0], "voc"))
