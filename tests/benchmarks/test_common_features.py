"""The protocol of common feature learning: who sees what, alignment, one short run."""

import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import common_features

TRAIN = {"epochs": 1, "lr": 0.003, "monitor": None}


def test_students_see_training_images_that_a_seed_draws():
    problem, other = (common_features.load("digits", images=60, seed=seed) for seed in (0, 1))
    assert len(problem.unlabelled) == 60
    assert set(problem.unlabelled.tolist()) <= set(problem.labelled.tolist())
    assert not set(problem.test.tolist()) & set(problem.labelled.tolist())
    assert not torch.equal(problem.unlabelled, other.unlabelled)
    first, second = (common_features.owned(problem, problem.labelled, n) for n in (0, 1))
    assert (first ^ second).all()
    assert problem.y[problem.labelled[first]].unique().tolist() == [0, 1, 2, 3, 4]
    student, *teachers = problem.networks()
    joint = torch.cat([problem.call(teacher, problem.test[:3]) for teacher in teachers], 1)
    assert joint.shape == problem.call(student, problem.test[:3]).shape


def test_hits_count_the_own_row_among_ten():
    eye = torch.eye(40)
    assert common_features.hits(eye, eye) == 1.0
    assert common_features.hits(eye, eye.roll(1, 0)) == pytest.approx(10 / 40, abs=0.03)
    assert common_features.hits(eye[:7], eye[:7].roll(1, 0)) == 1.0


def test_what_arrives_from_known_samples_tells_where_a_sample_is():
    """On a ring every sample is told by its distances to two others."""
    number = torch.arange(12)
    ring = torch.stack([number, number.roll(-1)])
    ring = torch.cat([ring, ring.flip(0)], 1)
    found = common_features.arrivals(ring, torch.tensor([0, 3]), 12)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(12))
    likeness = found @ found.t()
    assert torch.equal(likeness.argmax(1), number)
    mirrored = common_features.arrivals(ring, torch.tensor([0]), 12)
    torch.testing.assert_close(mirrored[1], mirrored[11])


def test_relative_views_survive_a_rotation():
    x = torch.nn.functional.normalize(torch.randn(30, 6), dim=1)
    turned = x @ torch.linalg.qr(torch.randn(6, 6))[0]
    known = torch.arange(9)
    views = [common_features.relative(one, known) for one in (x, turned)]
    torch.testing.assert_close(views[0], views[1], atol=1e-5, rtol=1e-4)


def test_a_short_run():
    found = common_features.run(
        {"name": "digits", "images": 20},
        seed=0,
        fit=Fitter(TRAIN, 0),
        weights=(2.0,),
        hidden_channels=4,
        draws=1,
    )
    assert {"kd", "cfl2", "gain_cfl2", "nearest_kd", "r2_start", "links_relative"} <= set(found)
    assert found["mmd_fall"] == pytest.approx(found["mmd_start"] / found["mmd_end"])
    assert found["gain_cfl2"] == pytest.approx(found["cfl2"] - found["kd"])
    best = max(found[f"links_{name}"] for name in ("common", "relative", "relative_raw"))
    assert found["graph_gain"] == pytest.approx(found["links_graph"] - best)
