"""HOTA and IDF1 against the authors' code, and by hand."""

import numpy as np
import pytest
import torch

from graphkit.datasets import mot15
from graphkit.metrics import clear_mot, hota, hota_curves

CURVES = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")


def walk(seed, people=4, frames=15):
    """People who come and go, with boxes."""
    draw = torch.Generator().manual_seed(seed)
    frame = torch.arange(frames).repeat(people)
    identity = torch.arange(people).repeat_interleave(frames) * 3
    start = torch.rand(people, 1, 2, generator=draw) * 20
    step = torch.randn(people, frames, 2, generator=draw).cumsum(1)
    size = 4 + 4 * torch.rand(people, 1, 2, generator=draw).expand(-1, frames, -1)
    box = torch.cat([start + step, size], 2).flatten(0, 1)
    there = torch.rand(len(frame), generator=draw) < 0.8
    return frame[there], identity[there], box[there]


def spoil(truth, seed):
    """What a poor tracker makes of it: shifted, missed, invented, and with other numbers."""
    draw = torch.Generator().manual_seed(seed)
    frame, identity, box = truth
    seen = torch.rand(len(frame), generator=draw) < 0.85
    switch = (torch.rand(len(frame), generator=draw) < 0.3).long()
    number = 2 * identity.unique(return_inverse=True)[1] + switch
    shift = box[:, 2:].mean() * torch.randn(box.shape, generator=draw)
    box = box + 0.2 * shift
    box[:, 2:] = box[:, 2:].abs()
    extra = torch.rand(len(frame), generator=draw) < 0.1
    return (
        torch.cat([frame[seen], frame[extra]]),
        torch.cat([number[seen], 1000 + torch.arange(int(extra.sum()))]),
        torch.cat([box[seen], box[extra].roll(1, 0)]),
    )


def reference(truth, found, radius=None):
    """The authors' figures, from their own comparison of boxes."""
    trackeval = pytest.importorskip("trackeval")
    sides = [[part.double().numpy() for part in side] for side in (truth, found)]
    numbers = [np.unique(side[1], return_inverse=True) for side in sides]
    data = {
        "num_gt_dets": len(sides[0][0]),
        "num_tracker_dets": len(sides[1][0]),
        "num_gt_ids": len(numbers[0][0]),
        "num_tracker_ids": len(numbers[1][0]),
        "gt_ids": [],
        "tracker_ids": [],
        "similarity_scores": [],
    }
    base = trackeval.datasets._base_dataset._BaseDataset
    for frame in np.union1d(sides[0][0], sides[1][0]):
        # By number, as the pairs of equal score are taken in the order that they come in.
        rows = [np.flatnonzero(side[0] == frame) for side in sides]
        rows = [row[np.argsort(side[1][row])] for row, side in zip(rows, sides, strict=True)]
        data["gt_ids"].append(numbers[0][1][rows[0]])
        data["tracker_ids"].append(numbers[1][1][rows[1]])
        places = [side[2][row] for side, row in zip(sides, rows, strict=True)]
        if radius is None:
            alike = base._calculate_box_ious(*places, box_format="xywh")
        else:
            alike = base._calculate_euclidean_similarity(*places, zero_distance=2 * radius)
        data["similarity_scores"].append(alike)
    scores = trackeval.metrics.HOTA().eval_sequence(data)
    identity = trackeval.metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    return {name.lower(): scores[name] for name in CURVES}, {
        "idf1": identity["IDF1"],
        "idre": identity["IDR"],
        "idpr": identity["IDP"],
    }


def same(truth, found, radius=None):
    curves, identity = reference(truth, found, radius)
    ours, means = hota_curves(truth, found, radius), hota(truth, found, radius)
    for name, values in curves.items():
        assert np.abs(ours[name].numpy() - values).max() < 1e-9, name
        assert means[name] == pytest.approx(values.mean(), abs=1e-9)
    for name, value in identity.items():
        assert means[name] == pytest.approx(value, abs=1e-9)
    assert set(means) == {*curves, *identity}


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_a_hundred_random_sequences(kind):
    for seed in range(50):
        truth = walk(seed)
        found = spoil(truth, seed + 100)
        if kind == "points":
            truth, found = ((*side[:2], side[2][:, :2]) for side in (truth, found))
        same(truth, found, 2.0 if kind == "points" else None)


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte"])
def test_people_in_a_street(name):
    people = mot15(name)
    truth = people.frame, people.identity, people.box
    for seed in range(3):
        same(truth, spoil(truth, seed))


def test_nothing_found_and_nothing_alike():
    truth = walk(0)
    none = tuple(part[:0] for part in truth)
    scores = hota(truth, none)
    assert {scores[name] for name in ("hota", "deta", "assa", "idf1", "idpr")} == {0.0}
    assert scores["loca"] == 1
    same(truth, none)
    same(truth, (truth[0], truth[1], truth[2] + 1e6))
    same(truth, truth)


def test_by_hand():
    """Two halves of one track: every object is found, and half of it is known."""
    frame = torch.arange(10)
    place = torch.stack([frame, frame], 1)
    found = (frame, (frame >= 5).long(), place)
    scores = hota((frame, torch.zeros(10), place), found, radius=1.0)
    assert scores["deta"] == scores["loca"] == scores["asspr"] == 1
    assert scores["assa"] == scores["assre"] == pytest.approx(0.5)
    assert scores["hota"] == pytest.approx(0.5**0.5)
    assert scores["idf1"] == scores["idre"] == 0.5


def test_idf1_is_that_of_clear_mot():
    for seed in range(5):
        truth = walk(seed)
        found = spoil(truth, seed)
        assert hota(truth, found)["idf1"] == pytest.approx(clear_mot(truth, found)["idf1"])
        points = [(*side[:2], side[2][:, :2]) for side in (truth, found)]
        ours = hota(*points, radius=1.5)["idf1"]
        assert ours == pytest.approx(clear_mot(*points, radius=1.5)["idf1"])


def test_joined_sequences_are_joint_counts():
    trackeval = pytest.importorskip("trackeval")
    pairs = [(walk(seed), spoil(walk(seed), seed)) for seed in range(3)]
    parts = {}
    for number, (truth, found) in enumerate(pairs):
        curves, _ = reference(truth, found)
        matches = curves["detre"] * len(truth[0])
        counts = {
            "HOTA_TP": matches,
            "HOTA_FN": len(truth[0]) - matches,
            "HOTA_FP": len(found[0]) - matches,
        }
        names = ("AssA", "AssRe", "AssPr", "LocA")
        parts[number] = counts | {name: curves[name.lower()] for name in names}
    wanted = trackeval.metrics.HOTA().combine_sequences(parts)["HOTA"].mean()
    sides = [
        tuple(
            torch.cat([side[part] + (1000 * n if part < 2 else 0) for n, side in enumerate(each)])
            for part in range(3)
        )
        for each in zip(*pairs, strict=True)
    ]
    # Numbers of invented objects reach beyond a thousand.
    sides[1] = (sides[1][0], sides[1][1] + 10**6 * (sides[1][0] // 1000), sides[1][2])
    assert hota(*sides)["hota"] == pytest.approx(wanted, abs=1e-9)
