"""What lies in the folders of a data set and is not used is named in the report."""

import os
from pathlib import Path

import pytest

from data.scanning.load import load_dataset
from utils.errors import UserError

ROW = "0 .5 .5 .2 .2\n"


def test_files_that_are_left_out_are_counted_and_named(make):
    yaml = make({"a": ROW, "b": ROW})
    images = yaml.parent / "set" / "images" / "train"
    for name in ("notes.md", "Thumbs.db", "._a.png"):
        (images / name).touch()
    (images / "folder.jpg").mkdir()
    labels = yaml.parent / "set" / "labels" / "train"
    (labels / "gone.txt").write_text(ROW)
    (labels / "classes.txt").write_text("cat\n")
    report = load_dataset(yaml, "train").report
    assert report.notes == (
        "files in the image folders that are no images, left out: 2 (Thumbs.db, notes.md)",
        "hidden images (names that begin with a dot), left out: 1 (._a.png)",
        "folders that are named like images: 1 (folder.jpg)",
        "label files without an image, not used: 1 (gone.txt)",
    )
    assert all(note in report.table() for note in report.notes)
    again = load_dataset(yaml, "train").report
    assert again.origin == "from the cache"
    assert again.notes == report.notes
    (labels / "gone.txt").unlink()
    assert len(load_dataset(yaml, "train").report.notes) == 3


def test_a_named_pipe_among_the_images_is_left_out_and_named(make):
    yaml = make({"a": ROW})
    os.mkfifo(yaml.parent / "set" / "images" / "train" / "b.jpg")
    os.symlink("nowhere.jpg", yaml.parent / "set" / "images" / "train" / "c.jpg")
    report = load_dataset(yaml, "train").report
    assert [(Path(entry.file).name, entry.reason) for entry in report.entries] == [
        ("b.jpg", "image unreadable: is a named pipe, where a file is needed"),
        ("c.jpg", "image missing: its link leads nowhere"),
    ]


def test_a_named_pipe_and_a_folder_among_the_labels_leave_their_images_out(make):
    yaml = make({"a": ROW, "b": None, "c": None})
    labels = yaml.parent / "set" / "labels" / "train"
    os.mkfifo(labels / "b.txt")
    (labels / "c.txt").mkdir()
    report = load_dataset(yaml, "train").report
    assert [(Path(entry.file).name, entry.reason) for entry in report.entries] == [
        ("b.png", "label: label file unreadable: is a named pipe, where a file is needed"),
        ("c.png", "label: label file unreadable: is a folder, where a file is needed"),
    ]


def test_a_broken_label_link_is_no_background(make):
    yaml = make({"a": ROW, "b": None})
    os.symlink("/nowhere/b.txt", yaml.parent / "set" / "labels" / "train" / "b.txt")
    index = load_dataset(yaml, "train")
    assert len(index) == 1
    assert index.report.entries[0].reason == "label: label link is broken: /nowhere/b.txt"


def test_a_named_pipe_as_a_list_of_images_is_one_line(make):
    yaml = make({"a": ROW})
    os.mkfifo(yaml.parent / "set" / "list.txt")
    yaml.write_text(yaml.read_text().replace("images/train", "list.txt"))
    with pytest.raises(UserError, match="named pipe"):
        load_dataset(yaml, "train")


def test_a_label_file_rewritten_in_the_same_second_and_length_is_read_again(make):
    yaml = make({"a": ROW})
    label = yaml.parent / "set" / "labels" / "train" / "a.txt"
    assert load_dataset(yaml, "train").classes.tolist() == [0]
    before = label.stat()
    label.write_text(ROW.replace("0", "1", 1))
    os.utime(label, ns=(before.st_atime_ns, before.st_mtime_ns))  # as rsync and cp -p do
    assert load_dataset(yaml, "train").classes.tolist() == [1]
