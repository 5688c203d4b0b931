"""The skeleton recipes, on synthetic clips and on a tree of NTU RGB+D in the raw format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness import recipe
from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import skeleton_actions
from graphkit.datasets import find_card
from graphkit.train import accuracy
from graphkit.transforms import fuse_scores
from tests.datasets.skeletons.ntu_files import write_ntu

SMALL = {"name": "STIGCN", "hidden_channels": 8, "num_layers": [1, 1], "dropout": 0.0}
TRAIN = {"epochs": 8, "lr": 0.02, "optimizer": "AdamW", "monitor": None}
NAMES = recipe.expand(["st*gcn*-*", "ctrgcn-*"])


def command(tmp_path: Path, name: str, *settings: str) -> Any:
    words = ["run", name, "--seeds", "1", "--json", str(tmp_path / "out.json")]
    words += [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(app, [*words, "--out", str(tmp_path / "runs")])


@pytest.mark.parametrize("split", ["xsub", "xview"])
def test_a_tree_in_the_raw_format_by_one_command(
    split: str, data_folder: Path, tmp_path: Path
) -> None:
    """Parser, persons, splits, training and evaluation; every action swings a limb of its own."""
    write_ntu(data_folder, setups=(1, 2, 3), actions=(1, 2, 3), frames=24)
    done = command(
        tmp_path,
        f"stigcn-ntu60-{split}",
        *("network.hidden_channels=8", "network.num_layers=[1,1]", "network.dropout=0.0"),
        *("train.epochs=10", "train.lr=0.02", "train.optimizer=AdamW", "schedule.momentum=0.0"),
        *("view.num_frames=16", "view.rotation=0.0", "batch_size=4", "streams=[j, jm]"),
    )
    assert done.exit_code == 0, done.stderr
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    metrics = {name: metric["mean"] for name, metric in result["metrics"].items()}
    assert set(metrics) == {
        *("fusion_accuracy", "joint_accuracy", "joint_motion_accuracy", "worst_class_recall")
    }
    assert metrics["fusion_accuracy"] > 0.6


def test_without_the_data_a_recipe_says_what_to_get(data_folder: Path, tmp_path: Path) -> None:
    done = command(tmp_path, "ctrgcn-ntu60-xview")
    card = find_card("NTU60")
    assert done.exit_code == 1
    assert card.source in done.stderr
    assert card.files[0] in done.stderr


@pytest.mark.parametrize("name", sorted(skeleton_actions.NETWORKS))
def test_every_model_trains_and_every_stream_is_judged(name: str) -> None:
    settings = {**SMALL, "name": name}
    fit = Fitter({**TRAIN, "epochs": 1}, seed=0)
    metrics = skeleton_actions.run(
        {"name": "SyntheticSkeletons", "num_clips": 32},
        settings,
        seed=0,
        fit=fit,
        view={"num_frames": 8},
        batch_size=24,
    )
    streams = {f"{title}_accuracy" for title in skeleton_actions.TITLES.values()}
    assert set(metrics) == {*streams, "fusion_accuracy", "fusion2_accuracy", "worst_class_recall"}
    assert all(0 <= value <= 1 for value in metrics.values())
    assert fit.parameters > 0


def test_known_motions_are_learned_and_a_seed_repeats() -> None:
    """Eight classes of known motions, from clips of other people than those in the test."""
    arguments: dict[str, Any] = {
        "dataset": {"name": "SyntheticSkeletons", "num_clips": 256},
        "network": SMALL,
        "view": {"num_frames": 16},
        "streams": ["jm"],
        "batch_size": 4,
        "schedule": {"warmup": 0.1},
    }
    first, again = (
        skeleton_actions.run(**arguments, seed=0, fit=Fitter(TRAIN, seed=0)) for _ in range(2)
    )
    assert first == again
    assert first["joint_motion_accuracy"] > 0.9


def test_the_table_by_hand() -> None:
    y = torch.tensor([0, 0, 1, 2])
    found = {stream: torch.randn(4, 3) for stream in ("j", "b", "jm")}
    metrics = skeleton_actions.table(found, y, {"j": 1.0, "b": 0.5, "jm": 2.0})
    fused = fuse_scores(found, {"j": 1.0, "b": 0.5, "jm": 2.0})
    assert metrics["fusion_accuracy"] == float(accuracy(fused, y))
    two = found["j"].softmax(1) + found["b"].softmax(1)
    assert metrics["fusion2_accuracy"] == float(accuracy(two, y))
    right = fused.argmax(1) == y
    recalls = [float(right[:2].float().mean()), float(right[2]), float(right[3])]
    assert metrics["worst_class_recall"] == pytest.approx(min(recalls))


@pytest.mark.parametrize("name", NAMES)
def test_recipes_are_complete(name: str) -> None:
    """Their keys fit, their models can be built, and they choose no epoch by the test part."""
    one = recipe.load(name)
    sections = one.sections
    assert one.protocol == "skeleton_actions"
    assert sections["train"]["monitor"] is None
    skeleton_actions.View(**sections["view"])
    skeleton_actions.Schedule(10, **sections["schedule"])
    assert sections["network"]["name"].lower() == name.split("-")[0]
    parts = skeleton_actions.load("SyntheticSkeletons", num_clips=8)
    skeleton_actions.build(sections["network"], parts[0])


def test_there_is_a_recipe_for_every_model_data_set_and_way() -> None:
    models = [name.lower() for name in skeleton_actions.NETWORKS]
    sets = ("nw-ucla", "utd-mhad", "ntu60-xsub", "ntu60-xview")
    wanted = {f"{model}-{which}" for model in models for which in sets}
    wanted |= {f"{model}-authors-{which}" for model in models for which in sets}
    assert wanted - {"stgcnpp-authors-ntu60-xsub", "stgcnpp-authors-ntu60-xview"} <= set(NAMES)


def test_other_data_and_unknown_models_are_refused() -> None:
    with pytest.raises(ValueError, match="digits"):
        skeleton_actions.load("digits")
    parts = skeleton_actions.load("SyntheticSkeletons", num_clips=8)
    with pytest.raises(ValueError, match=r"'network'.*STGCN.*'GAT'"):
        skeleton_actions.build({"name": "GAT"}, parts[0])


def test_held_out_clips_come_from_the_training_part_alone() -> None:
    name = "SyntheticSkeletons"
    learned, tested = skeleton_actions.load(name, num_clips=64)
    fewer, held = skeleton_actions.load(name, held={"subject": [1]}, num_clips=64)
    assert set(held.info["subject"][held.chosen].tolist()) == {1}
    assert 1 not in fewer.info["subject"][fewer.chosen].tolist()
    both = {*fewer.chosen.tolist(), *held.chosen.tolist()}
    assert both == set(learned.chosen.tolist())
    assert not both & set(tested.chosen.tolist())


@pytest.mark.parametrize(
    "held", [{}, {"subject": [9]}, {"weather": [1]}, {"subject": [1], "label": [0]}]
)
def test_what_cannot_be_held_out_is_refused(held: dict[str, list[int]]) -> None:
    with pytest.raises(RecipeError, match="'held'"):
        skeleton_actions.load("SyntheticSkeletons", held=held, num_clips=64)
