"""A study's folder belongs to one program and one set of settings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from ablation import folder as study_folder
from ablation.folder import locked, open_study, provenance
from tests.tiny import GRAPH
from utils.errors import UserError
from utils.yaml_file import load_yaml


def test_two_programs_cannot_work_on_one_study(tmp_path):
    said = rf"process {os.getpid()}, works on this study"
    with (
        locked(tmp_path / "study"),
        pytest.raises(UserError, match=said),
        locked(tmp_path / "study"),
    ):
        pass
    with locked(tmp_path / "study"):
        pass


def start(config):
    config.folder.mkdir(exist_ok=True)
    return open_study(config)


def test_the_same_settings_continue_and_others_are_refused(make_config):
    first = start(make_config())
    assert start(make_config(slots=1, workers=4, engine="ray", cores_per_cell=2)) == first
    assert load_yaml(make_config().folder / "study.yaml")["settings"]["epochs"] == 2
    with pytest.raises(
        UserError, match=r"study.yaml: this study has epochs 2, now it is 3; .* another --name"
    ):
        start(make_config(epochs=3))
    with pytest.raises(UserError, match=r"has attention \[\], now it is \['SE'\]"):
        start(make_config(attention=("SE",)))


def test_more_seeds_may_be_added_and_the_report_says_so(make_config):
    start(make_config(seeds=2))
    grown = start(make_config(seeds=4))
    assert start(make_config(seeds=4))["seeds"] == [2, 4]
    assert "2 then 4: raised after a look" in provenance(make_config(seeds=4), grown, [])["seeds"]
    with pytest.raises(UserError, match=r"--seeds 3: the study in .* has 4 already"):
        start(make_config(seeds=3))


def test_looks_are_fixed_at_the_start(make_config):
    looks = {"attention": ("SE@index 1",), "looks": (3, 5, 8)}
    first = start(make_config(seeds=3, **looks))
    assert first["settings"]["error_shares"] == [0.027428, 0.235942, 0.73663]
    grown = start(make_config(seeds=5, **looks))
    facts = provenance(make_config(seeds=5, **looks), grown, [])
    assert facts["seeds"] == "3 then 5: as planned by --looks"
    for other in ({**looks, "looks": (3, 5, 12)}, {**looks, "looks": ()}):
        with pytest.raises(
            UserError, match=r"study.yaml: this study has looks \[3, 5, 8\], now .* another --name"
        ):
            start(make_config(seeds=5, **other))
    path = make_config().folder / "study.yaml"
    content = load_yaml(path)
    content["settings"]["error_shares"] = [0.3, 0.3, 0.4]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="this study has error_shares"):
        start(make_config(seeds=5, **looks))


def test_a_study_of_a_version_without_looks_continues(make_config):
    start(make_config())
    path = make_config().folder / "study.yaml"
    content = load_yaml(path)
    for key in ("looks", "adaptive"):
        del content["settings"][key]
    path.write_text(yaml.safe_dump(content))
    assert start(make_config())["settings"]["looks"] == []


def test_provenance_names_the_device_of_the_study(make_config, monkeypatch):
    study = start(make_config())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(study_folder, "describe_device", str)
    facts = [provenance(make_config(device=text), study, [])["device"] for text in ("3", "cpu")]
    assert facts == ["cuda:3", "cpu"]


def test_baseline_seeds_are_not_removed_either(make_config):
    start(make_config(seeds=2))
    grown = start(make_config(seeds=2, baseline_seeds=4))
    assert "2 then 4: raised after a look" in provenance(make_config(), grown, [])["baseline_seeds"]
    with pytest.raises(UserError, match=r"--baseline-seeds 3: the study in .* has 4 already"):
        start(make_config(seeds=3, baseline_seeds=3))
    assert start(make_config(seeds=4))["baseline_seeds"] == [2, 4]


def test_another_recipe_in_the_same_file_is_refused(make_config, material, tmp_path):
    hyp = tmp_path / "hyp.yaml"
    hyp.write_text("lr0: 0.02\n")
    flags = f"--cache no --hyp {hyp}"
    first = start(make_config(train=flags))
    assert start(make_config(train=flags)) == first
    hyp.write_text("lr0: 0.09\n")
    with pytest.raises(UserError, match=r"this study has recipe '\w+', now it is '\w+'"):
        start(make_config(train=flags))


@pytest.mark.parametrize(
    ("key", "value"), [("seeds", 3), ("seeds", ["three"]), ("code", None), ("baseline_seeds", [])]
)
def test_a_history_that_was_edited_is_named(make_config, key, value):
    start(make_config())
    path = make_config().folder / "study.yaml"
    path.write_text(yaml.safe_dump({**load_yaml(path), key: value}))
    with pytest.raises(UserError, match=rf"study.yaml: {key}: .*must list those of all starts"):
        start(make_config())


def test_a_named_pipe_or_a_doubled_key_as_study_file_is_refused(make_config):
    path = make_config().folder / "study.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"study\.yaml: cannot be read \(is a named pipe"):
        start(make_config())
    path.unlink()
    path.write_text("seeds: [5]\nseeds: [6]\n")
    with pytest.raises(UserError, match=r"study\.yaml:2: `seeds` stands in lines 1 and 2"):
        start(make_config())


def test_another_graph_in_the_same_file_is_refused(make_config, tmp_path):
    graph = tmp_path / "graph.yaml"
    graph.write_text(yaml.safe_dump(GRAPH))
    start(make_config(cfg=str(graph)))
    graph.write_text(yaml.safe_dump({**GRAPH, "width_multiple": 0.5}))
    with pytest.raises(UserError, match=r"this study has graph '\w+', now it is '\w+'"):
        start(make_config(cfg=str(graph)))


def test_another_content_of_own_classes_is_refused(make_config, tmp_path):
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("x = 1")
    second.write_text("x = 1")
    start(make_config(modules=(str(first),)))
    start(make_config(modules=(str(second),)))  # a file may move
    second.write_text("x = 2")
    with pytest.raises(UserError, match=r"study.yaml: this study has modules '\w+', now it is"):
        start(make_config(modules=(str(second),)))


def test_other_data_are_refused(make_config, material, tmp_path):
    own = Path(shutil.copytree(Path(material["data"]).parent, tmp_path / "own"))
    content = load_yaml(own / "data.yaml")
    (own / "data.yaml").write_text(yaml.safe_dump({**content, "path": str(own)}))
    start(make_config(data=str(own / "data.yaml")))
    (own / "labels" / "train" / "000.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(UserError, match="this study has data train"):
        start(make_config(data=str(own / "data.yaml")))


def test_other_code_is_reported_and_noted(make_config, monkeypatch, capsys):
    first = start(make_config())
    monkeypatch.setattr(study_folder, "hash_code", lambda: "another")
    changed = start(make_config())
    assert changed["code"] == [*first["code"], "another"]
    assert "the code has changed since the study was started" in capsys.readouterr().out
    facts = provenance(make_config(), changed, ["--seeds", "2"])
    assert facts["code"] == f"{first['code'][0]} then another"
    assert facts["command"] == "python ablate.py --seeds 2"
    assert {"torch", "device", "graph", "data train", "data val", "commit"} <= facts.keys()
