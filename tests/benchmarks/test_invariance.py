"""The protocols of transform invariance, mixing and restyling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.canvas import canvas
from benchmarks.protocols import label_mixing, style_textures, transform_invariance
from benchmarks.report.report import plot
from benchmarks.rivals.mixing import cutmix, mixup
from benchmarks.rivals.styles import AdaIN, adain
from graphkit.vision import RandomTransform2d, SnapMix


def test_arms_of_transform_invariance_differ_by_the_layer_alone():
    layer = {"angle": 40.0, "scale": 0.2, "shift": 0.1, "p": 0.5}
    plain = transform_invariance.network("plain", layer)
    for arm, place in (("input", 0), ("conv1", 2), ("batch", 2), ("conv2", 6)):
        model = transform_invariance.network(arm, layer)
        model.load_state_dict(plain.state_dict())
        moving = [n for n, m in enumerate(model) if isinstance(m, RandomTransform2d)]
        assert moving == [place]
        assert model[place].per_sample == (arm != "batch")
        x = torch.rand(3, 1, 16, 16)
        assert torch.equal(model.eval()(x), plain(x))
        assert not torch.equal(model.train()(x.repeat(9, 1, 1, 1)), plain(x.repeat(9, 1, 1, 1)))


def test_transform_invariance_reports_gains_over_the_plain_network():
    fit = Fitter({"epochs": 1, "lr": 0.002, "monitor": None}, seed=0)
    dataset = {"name": "digits", "train": 256, "test": 100}
    found = transform_invariance.run(dataset, seed=0, fit=fit, arms=("plain", "conv1"))
    again = transform_invariance.run(dataset, seed=0, fit=fit, arms=("plain", "conv1"), p=0.0)
    assert found["gain_all"] == pytest.approx(found["all_conv1"] - found["all_plain"])
    assert again["gain_all"] == 0
    assert again["energy_ratio"] == 1
    assert again["all_plain"] == found["all_plain"]
    data = transform_invariance.load("digits", test=100)
    assert torch.allclose(data["tests"]["clean"].amax((2, 3)), torch.ones(100, 1) * 1.0, atol=0.3)
    assert not torch.allclose(data["tests"]["turned"], data["tests"]["clean"], atol=0.1)


def test_images_are_shown_at_twice_their_size(monkeypatch):
    x, y = torch.rand(8, 1, 14, 14), torch.arange(8)
    monkeypatch.setattr(transform_invariance, "handwritten", lambda *_: (x, y))
    data = transform_invariance.load("mnist")
    assert data["x"].shape == (8, 1, 28, 28)
    assert torch.allclose(data["x"][..., ::27, ::27], x[..., ::13, ::13])
    model = transform_invariance.network("conv1", {}, side=28)
    assert model(data["x"]).shape == (8, 10)
    fit = Fitter({"epochs": 1, "lr": 0.002, "monitor": None}, seed=0)
    found = transform_invariance.run({"name": "mnist"}, seed=0, fit=fit, arms=("plain", "conv1"))
    assert found["energy_ratio"] > 0


def test_label_errors_are_measured_against_the_ink_that_is_left(monkeypatch):
    tensors, ink, network, names = label_mixing.load("canvas", images=20, test=20)
    _, _, x, y = tensors
    boxes = canvas("test", 20, 0).box[:, 0]
    assert (ink * ~boxes).abs().max() == 0
    assert (x[:, 0] - ink).std() == pytest.approx(0.15, rel=0.05)
    snapmix = SnapMix(network, *names, generator=torch.Generator().manual_seed(0))
    # A network that sees the ink itself is right about every label.
    monkeypatch.setattr(snapmix, "maps", shares_of_ink(ink, x))
    found = label_mixing.label_errors(snapmix, x, y, ink)
    assert found["label_error_snapmix"] < 1e-6
    assert found["correlation_snapmix"] > 0.9999
    assert found["label_error_area"] > 0.1
    assert label_mixing.identity_error(snapmix, x[:10], y[:10]) < 1e-6


def shares_of_ink(ink, images):
    """Maps of images that are looked up among some."""

    def maps(x, y):
        rows = (x.flatten(1).unsqueeze(1) == images.flatten(1)).all(2).int().argmax(1)
        return ink[rows] / ink[rows].sum((1, 2), keepdim=True)

    return maps


def test_label_mixing_compares_arms_of_the_same_start():
    fit = Fitter({"epochs": 1, "lr": 0.003, "monitor": None}, seed=0)
    dataset = {"name": "canvas", "images": 128, "test": 100}
    arms = ("none", "mixup", "cutmix", "snapmix")
    found = label_mixing.run(dataset, seed=0, fit=fit, train_arms=arms, starts=("scratch",))
    assert found["scratch_none"] == pytest.approx(found["accuracy"])
    gain = found["scratch_snapmix"] - found["scratch_cutmix"]
    assert found["scratch_over_cutmix"] == pytest.approx(gain)
    low, high = found["scratch_over_cutmix_low"], found["scratch_over_cutmix_high"]
    assert low <= gain <= high


def test_rival_mixes_keep_labels_of_sum_one_and_what_they_say():
    x = torch.zeros(4, 1, 8, 8) + torch.arange(4.0).view(4, 1, 1, 1)
    y = torch.tensor([0, 1, 2, 0])
    for mix in (cutmix, mixup):
        for seed in range(5):
            mixed, soft = mix(x, y, 3, 1.0, np.random.default_rng(seed))
            assert torch.allclose(soft.sum(1), torch.ones(4))
            # Of image 1, whose donor is image 0, what is left is its mean.
            assert mixed[1].mean() == pytest.approx(float(soft[1, 1]), abs=1e-6)


@pytest.mark.vision
def test_rival_mixes_are_those_of_torchvision(monkeypatch):
    """Given the same draws."""
    from torchvision.transforms import v2

    x, y = torch.rand(4, 3, 12, 10), torch.tensor([0, 1, 2, 0])

    class Drawn:
        """The draws of torchvision's transform."""

        def beta(self, *_):
            return 0.3

        def integers(self, high):
            return high // 3

    for ours, theirs in ((cutmix, v2.CutMix), (mixup, v2.MixUp)):
        transform = theirs(num_classes=3)
        monkeypatch.setattr(
            transform._dist, "sample", lambda *_: torch.tensor([0.3]), raising=False
        )
        monkeypatch.setattr(torch, "randint", lambda high, size, **_: torch.tensor([high // 3]))
        expected = transform(x, y)
        monkeypatch.undo()
        mixed, soft = ours(x, y, 3, 1.0, Drawn())
        assert torch.allclose(mixed, expected[0], atol=1e-6)
        assert torch.allclose(soft, expected[1], atol=1e-6)


def test_wanted_textures_are_the_operators_on_the_content():
    data = style_textures.transfers("train", 40, seed=3)
    assert data["content"].mean((2, 3)).abs().max() < 1e-4
    same = data["kind"] == 0
    assert 0 < same.sum() < 40
    assert torch.allclose(data["wanted"][same], data["content"][same], atol=1e-6)
    rows = data["kind"] == 1
    # A blur along rows leaves sums of rows alone, up to the border; strength is above one half.
    before, after = (data[name][rows] for name in ("content", "wanted"))
    assert (after.diff(dim=3).square().mean() / before.diff(dim=3).square().mean()) < 0.6
    assert torch.allclose(before[..., 1:-1].mean(3), after[..., 1:-1].mean(3), atol=0.2)


def test_style_textures_report_errors_and_identities():
    fit = Fitter({"epochs": 1, "lr": 0.003, "monitor": None}, seed=0)
    found = style_textures.run({"train": 64, "test": 64}, seed=0, fit=fit)
    assert found["mse_ratio"] == pytest.approx(found["mse_din"] / found["mse_affine"])
    assert found["adain_error"] < 1e-5
    assert found["graph_error"] < 1e-5
    assert found["multiplications_ratio"] > 20
    assert 0 <= found["homophily"] <= 1
    with torch.device("meta"):
        x, style = torch.empty(1, 3, 64, 64), torch.empty(1, 512, 8, 8)
        assert AdaIN()(x, style).shape == x.shape


def test_adain_has_the_moments_of_the_style():
    content, style = torch.randn(2, 3, 8, 8), 3 * torch.randn(2, 3, 5, 5) + 2
    made = adain(content, style)
    assert torch.allclose(made.mean((2, 3)), style.mean((2, 3)), atol=1e-4)
    deviations = [part.std((2, 3), correction=0) for part in (made, style)]
    assert torch.allclose(*deviations, rtol=1e-3)


def test_a_recipe_without_the_main_metric_is_left_out_of_the_plot(tmp_path):
    pytest.importorskip("matplotlib")
    whole = {"recipe": "a", "main": "accuracy", "metrics": {"accuracy": {"mean": 0.5, "std": 0.1}}}
    bare = {"recipe": "b", "main": "label_error_ratio", "metrics": {"scratch_none": {"mean": 0.5}}}
    for results in ([whole, bare], [bare]):
        assert plot(results, tmp_path / "results.png").stat().st_size > 0
