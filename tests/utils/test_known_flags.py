"""A flag of another program gets a sentence, a mistyped one the flag that was meant."""

from __future__ import annotations

import dataclasses

import pytest

from engine.evaluation.settings import VAL_LINE
from engine.export.settings import EXPORT_LINE
from engine.inference.settings import DETECT_LINE
from utils.cli import CommandLine, names_of
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters
from utils.known_flags import IN_HYP, SENTENCES
from utils.train_line import TRAIN_LINE

LINES = (TRAIN_LINE, VAL_LINE, DETECT_LINE, EXPORT_LINE)
# All flags of the command lines of yolov5 7.0, of its PyPI package, and Ultralytics' settings.
YOLOV5 = """
artifact_alias batch-size bbox_interval bucket cache cfg cos-lr data device entity epochs evolve
exist-ok freeze hyp image-weights img img-size imgsz label-smoothing local_rank multi-scale name
noautoanchor noplots nosave noval optimizer patience project quad rect resume save-period seed
single-cls sync-bn upload_dataset weights workers augment conf-thres dnn half iou-thres max-det
save-conf save-hybrid save-json save-txt task verbose agnostic-nms classes hide-conf hide-labels
line-thickness save-crop source update vid-stride view-img visualize dynamic include inplace int8
keras nms opset optimize simplify topk-all topk-per-class workspace
"""
PACKAGE = """
hf_dataset_id hf_model_id hf_private hf_token neptune_project neptune_resume_id neptune_token
roboflow_token roboflow_upload s3_upload_dir
"""
ULTRALYTICS = """
agnostic_nms amp angle augment auto_augment batch bgr box cache cfg channels_last classes
close_mosaic cls cls_pw cls_remap compile conf copy_paste copy_paste_mode cos_lr cutmix data
degrees deterministic device dfl dgrad dis distill_model dlam dlog dnn dropout dynamic embed
epochs erasing exist_ok fliplr flipud format fraction freeze hsv_h hsv_s hsv_v imgsz iou kobj
line_width lr0 lrf mask_ratio max_det mixup mode model momentum mosaic multi_scale name nbs nms
opset optimize optimizer overlap_mask patience perspective plots pose pretrained profile project
quantize rect resume retina_masks rle save save_conf save_crop save_frames save_json save_period
save_txt scale seed shear show show_boxes show_conf show_labels simplify single_cls source split
stream_buffer task time tracker translate val verbose vid_stride visualize warmup_bias_lr
warmup_epochs warmup_momentum weight_decay workers workspace
"""


def answer(line: CommandLine, *words: str) -> str:
    with pytest.raises(UserError) as error:
        line.read(list(words))
    return str(error.value)


@pytest.mark.parametrize("line", LINES, ids=("train", "val", "detect", "export"))
def test_every_flag_of_the_other_programs_is_there_or_explained(line: CommandLine) -> None:
    own = {name for field in dataclasses.fields(line.kind) for name in names_of(field)}
    flags = {f"--{name}" for name in f"{YOLOV5} {PACKAGE} {ULTRALYTICS}".split()} - own
    assert len(flags) > 50
    for flag in sorted(flags):
        assert answer(line, flag, "1").startswith(f"{flag}: "), flag


def test_names_of_hyperparameters_are_those_of_the_file() -> None:
    assert set(SENTENCES[IN_HYP]) <= {field.name for field in dataclasses.fields(Hyperparameters)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no", "3"), "unknown flag or value: --no 3; see "),
        (("--im", "3"), "unknown flag: --im; did you mean "),
        (("--epcohs=3",), "unknown flag: --epcohs; did you mean --epochs?"),
        (("--wieghts", "a.pt"), "unknown flag: --wieghts; did you mean --weights?"),
        (("--image_size", "64"), "unknown flag: --image_size; did you mean --img-size"),
        (("-epochs", "3"), "-epochs: is written --epochs here"),
        (("epochs=3",), "epochs=3: is written --epochs 3 here"),
        (("lr0=0.1",), "lr0: is a hyperparameter; "),
        (("--bogus", "3"), "unknown flag or value: --bogus 3; see "),
        (("--hf_token", "x"), "--hf_token: has no counterpart, since nothing is uploaded"),
    ],
)
def test_the_flag_that_was_meant(words: tuple[str, ...], said: str) -> None:
    assert answer(TRAIN_LINE, *words).startswith(said)


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--epoch", "3"), "epochs", 3),
        (("--epo=3",), "epochs", 3),
        (("--weight", "a.pt"), "weights", "a.pt"),
        (("--exist",), "exist_ok", True),
        (("--cos_l",), "cos_lr", True),
    ],
)
def test_the_beginning_of_a_flag_is_enough_as_in_yolov5(
    words: tuple[str, ...], field: str, value: object
) -> None:
    assert TRAIN_LINE.read(list(words)) == {field: value}


def test_a_whole_flag_of_another_program_is_not_completed() -> None:
    """--val is Ultralytics'; it must not be taken for another flag that begins so."""
    assert answer(TRAIN_LINE, "--val", "1").startswith("--val: is --noval here")
