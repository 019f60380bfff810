"""Flags of YOLOv5, of its PyPI package and of Ultralytics that no program has here.

utils/cli.py looks an unknown flag up in this table, so that whoever moves from another program
reads what stands in the place of the flag, or which flag was meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from utils.text import printable

ABSENT = "is not part of this project"
DETECTS_ONLY = "belongs to another task; the detectors here find boxes only, so leave it out"
IN_HYP = (
    "is a hyperparameter; copy data/hyps/hyp.scratch-low.yaml (hyp.v8.yaml without anchors), change"
    " it there, and give the copy as --hyp"
)
NO_UPLOAD = "has no counterpart, since nothing is uploaded; copy the run's folder with its own tool"
NO_SERVICE = f"{ABSENT}; results.csv and TensorBoard files are written to the run's folder"
IN_EXPORT = "belongs to export.py of other programs; its formats and flags: python export.py --help"
# The sentence continues "--flag: ".
SENTENCES: dict[str, tuple[str, ...]] = {
    IN_HYP: (
        "lr0", "lrf", "momentum", "weight_decay", "warmup_epochs", "warmup_momentum",
        "warmup_bias_lr", "box", "cls", "cls_pw", "obj", "obj_pw", "dfl", "iou_t", "anchor_t",
        "fl_gamma", "hsv_h", "hsv_s", "hsv_v", "degrees", "translate", "shear", "perspective",
        "flipud", "fliplr", "mosaic", "mixup", "copy_paste",
    ),
    DETECTS_ONLY: (
        "pose", "kobj", "rle", "angle", "mask_ratio", "overlap_mask", "retina_masks", "dropout",
        "auto_augment", "erasing",
    ),
    NO_UPLOAD: (
        "upload_dataset", "bucket", "s3_upload_dir", "hf_dataset_id", "hf_model_id", "hf_private",
        "hf_token", "roboflow_token", "roboflow_upload",
    ),
    NO_SERVICE: (
        "entity", "bbox_interval", "artifact_alias", "neptune_project", "neptune_resume_id",
        "neptune_token",
    ),
    IN_EXPORT: ("keras", "optimize", "quantize", "workspace", "mlmodel", "topk_per_class"),
    f"{ABSENT}; there is no distillation, so leave it out": (
        "distill_model", "dis", "dlam", "dlog", "dgrad",
    ),
    f"{ABSENT}; leave it out, the usual augmentation is set in --hyp": (
        "bgr", "cutmix", "copy_paste_mode",
    ),
    f"{ABSENT}; Results of the Python interface go into any tracker, such as supervision's": (
        "tracker", "stream_buffer",
    ),
    f"{ABSENT}; leave it out": ("embed", "channels_last", "cls_remap", "mode", "inplace", "dnn"),
    "is --weights or --cfg here: a checkpoint or a graph": ("model",),
    "is --weights here; without it training starts from random weights": ("pretrained",),
    "is always so here: the same seed gives the same run on the same machine": ("deterministic",),
    "is --precision here: fp32, bf16, fp16 or auto": ("amp",),
    "is --task here, in val.py": ("split",),
    "is --noplots here, which turns charts off": ("plots",),
    "is --noval here, which validates only after the final epoch": ("val",),
    "is --nosave here, which writes less": ("save",),
    "is --view-img here, in detect.py": ("show",),
    "is --hide-labels here, in detect.py": ("show_labels",),
    "is --hide-conf here, in detect.py": ("show_conf",),
    f"{ABSENT}; leave it out, boxes are always drawn": ("show_boxes",),
    "is --line-thickness here, in detect.py": ("line_width",),
    f"{ABSENT}; write the frames with ffmpeg from the annotated video": ("save_frames",),
    f"{ABSENT}; give --epochs, the first epoch's end says how long the others take": ("time",),
    f"{ABSENT}; list fewer images in the data set's `train:` .txt file": ("fraction",),
    "is the hyperparameter nominal_batch here; see data/hyps/hyp.v8.yaml": ("nbs",),
    "is printed by python models/yolo.py --cfg FILE --profile": ("profile",),
    # Flags of programs here, as the others of them answer.
    "is a flag of train.py": (
        "epochs", "hyp", "resume", "noval", "noautoanchor", "image_weights", "cfg",
        "multi_scale", "optimizer", "sync_bn", "cos_lr", "label_smoothing", "patience", "freeze",
        "save_period", "quad", "cache", "compile", "close_mosaic", "seed", "rect", "noplots",
    ),
    "is a flag of val.py": ("save_json", "save_hybrid", "task", "workers", "single_cls"),
    "is a flag of detect.py": (
        "source", "view_img", "save_crop", "save_csv", "save_format", "hide_labels", "hide_conf",
        "line_thickness", "font_size", "vid_stride", "classes", "visualize", "update", "nosave",
    ),
    "is a flag of val.py and detect.py": (
        "augment", "save_txt", "save_conf", "conf_thres", "conf", "iou_thres", "iou", "max_det",
        "agnostic_nms", "project", "name", "exist_ok",
    ),
    "is a flag of export.py": (
        "include", "format", "dynamic", "simplify", "opset", "nms", "topk_all", "int8",
    ),
    "searches hyperparameters, which is tune.py here: python tune.py --help": (
        "evolve", "evolve_population", "resume_evolve", "iterations", "use_ray",
    ),
    "is a flag of tune.py": ("trials", "space", "storage", "noprune", "prune_after"),
    "is a flag of train.py, val.py and models/yolo.py": ("verbose",),
    "is --precision fp16 here": ("half",),
    "is --batch-size here": ("batch",),
    "is a flag of train.py and models/yolo.py, and a hyperparameter of --hyp": ("scale",),
    "is done by torchrun; start with `torchrun --nproc_per_node N train.py …`": ("local_rank",),
}  # fmt: skip
SENTENCE_OF = {name: sentence for sentence, names in SENTENCES.items() for name in names}


def in_full(word: str, flags: Mapping[str, str], refused: Mapping[str, str]) -> str:
    """A word of a command line, with the beginning of a flag completed, as in YOLOv5.

    argparse's own completion would not do: it takes two spellings of one flag for two flags, and
    completes what is a whole flag of another program.

    Args:
        word: Any word, such as --epoch or --epoch=3.
        flags: Each spelling of the program's flags -> its field.
        refused: Flags that the program refuses.
    """
    given, sets, value = word.partition("=")
    dashed = given.replace("_", "-")
    whole = given in flags or dashed in refused or dashed[2:].replace("-", "_") in SENTENCE_OF
    if whole or not dashed.startswith("--") or dashed == "--":
        return word
    fields = {flags[name]: name for name in flags if name.replace("_", "-").startswith(dashed)}
    return f"{next(iter(fields.values()))}{sets}{value}" if len(fields) == 1 else word


def why_unknown(
    words: Sequence[str], flags: Iterable[str], refused: Mapping[str, str], program: str
) -> str:
    """What is said of words that a program does not know.

    Args:
        words: The words, of which at least one is there.
        flags: All spellings of the program's flags.
        refused: Flags that the program refuses -> what to use instead.
        program: The program's name.

    Returns:
        One sentence on the first word that explains itself, else on all.
    """
    known = {flag for flag in flags if flag.startswith("--")}
    for word in words:
        given, sets, value = word.partition("=")
        name = given.lstrip("-").replace("-", "_")
        dashed = "--" + name.replace("_", "-")
        if dashed in refused and given.startswith("-"):
            return f"{given}: {refused[dashed]}"
        if dashed in known:
            written = f"{dashed} {value}".rstrip()
            return f"{printable(word, 60)}: is written {printable(written, 60)} here"
        if name in SENTENCE_OF and (given.startswith("-") or sets):
            return f"{given}: {SENTENCE_OF[name]}"
        meant = _meant(dashed, known) if given.startswith("-") and name else []
        if meant:
            return f"unknown flag: {given}; did you mean {' or '.join(meant)}?"
    return f"unknown flag or value: {' '.join(words)}; see {program} --help"


def _meant(flag: str, known: Iterable[str]) -> list[str]:
    """The flags of which one is the beginning, else those that differ in a few letters."""
    dashed = sorted({name.replace("_", "-") for name in known})
    longer = [name for name in dashed if name.startswith(flag)]
    return longer[:3] if 0 < len(longer) <= 3 else difflib.get_close_matches(flag, dashed, 2, 0.75)
