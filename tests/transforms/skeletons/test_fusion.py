import pytest
import torch

from graphkit.transforms import fuse_scores


def test_weighted_mean_of_probabilities():
    scores = {name: torch.randn(5, 4) for name in ("j", "b", "jm", "bm")}
    wanted = sum(
        w * s.exp() / s.exp().sum(1, keepdim=True)
        for w, s in zip((2, 2, 1, 1), scores.values(), strict=True)
    )
    assert torch.allclose(fuse_scores(scores), wanted / 6)
    plain = fuse_scores(scores, {"j": 1, "b": 0, "jm": 0, "bm": 0}, softmax=False)
    assert torch.allclose(plain, scores["j"])


def test_one_stream_keeps_its_order():
    scores = torch.randn(6, 3)
    assert torch.equal(fuse_scores({"bm": scores}).argmax(1), scores.argmax(1))


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="one shape"):
        fuse_scores({})
    with pytest.raises(ValueError, match=r"\[2, 3\].*\[3, 3\]"):
        fuse_scores({"j": torch.zeros(2, 3), "b": torch.zeros(3, 3)})
    with pytest.raises(ValueError, match="'hand'"):
        fuse_scores({"hand": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="more than 0"):
        fuse_scores({"j": torch.zeros(2, 3)}, {"j": 0.0})


def test_weights_of_ones_own():
    scores = {"x": torch.randn(2, 3), "y": torch.randn(2, 3)}
    fused = fuse_scores(scores, {"x": 3.0, "y": 1.0, "z": 9.0})
    wanted = (3 * scores["x"].softmax(1) + scores["y"].softmax(1)) / 4
    assert torch.allclose(fused, wanted)
    assert torch.allclose(fused.sum(1), torch.ones(2))
    with pytest.raises(ValueError, match=r"no weight of 'y'; it has \['a', 'x'\]"):
        fuse_scores(scores, {"x": 1.0, "a": 1.0})


def test_scores_of_frames_are_fused_over_their_classes():
    scores = {"j": torch.randn(2, 3, 4), "b": torch.randn(2, 3, 4)}
    fused = fuse_scores(scores)
    assert torch.allclose(fused.sum(-1), torch.ones(2, 3))
    wanted = (scores["j"].softmax(2) + scores["b"].softmax(2)) / 2
    assert torch.allclose(fused, wanted)
