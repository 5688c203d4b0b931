"""The contract of the networks on skeletons, as a pytest class to inherit."""

from __future__ import annotations

import copy
import io
import pickle
from abc import ABC, abstractmethod

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from graphkit.nn import SkeletonGraph
from graphkit.testing import assert_close
from tests.spoiled import spoiled

PER_JOINT = ("static", "offset", "fixed", "importance", "adjacency", "shared")
BONES = [(1, 0), (2, 1), (3, 1), (4, 3)]


def wake(model):
    """Parameters and statistics off their first values, which switch most paths off."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and "fixed" not in name and "static" not in name:
                noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
                value.add_(noise.to(value), alpha=0.2)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.add_(0.7)
    return model


class SkeletonModelSuite(ABC):
    """What STIGCN, STGCN, STGCNpp and CTRGCN promise alike."""

    strategy = "spatial"
    any_persons = False

    @abstractmethod
    def kind(self):
        """The class."""

    def make(self, width=8, layers=(2, 1), **options):
        graph = SkeletonGraph(BONES, self.strategy)
        torch.manual_seed(0)
        return wake(self.kind()(3, 4, graph, width, layers, 2, 0.0, **options))

    def clips(self, *size, dtype=torch.float32):
        return torch.randn(*(size or (3, 3, 9, 5, 2)), dtype=torch.double).to(dtype)

    def gradients(self, model, x):
        x = x.clone().requires_grad_()
        out = model(x)
        weight = torch.arange(out.numel()).view_as(out).to(out)
        return out, torch.autograd.grad((out * weight).sum(), [x, *model.parameters()])

    def test_clips_do_not_mix(self):
        model, x = self.make().eval(), self.clips()
        alone = torch.cat([model(clip.unsqueeze(0)) for clip in x])
        assert_close(model(x), alone, "scores")
        assert model(x).shape == (3, 4)

    def test_renamed_joints_give_the_same_scores(self):
        """The skeleton and the data's normalisation renamed with the joints."""
        model, x = self.make().double().eval(), self.clips(dtype=torch.double)
        order = torch.tensor([3, 0, 4, 1, 2])
        place = order.argsort()
        bones = [(int(place[child]), int(place[parent])) for child, parent in BONES]
        other = self.kind()(3, 4, SkeletonGraph(bones, self.strategy), 8, (2, 1), 2, 0.0)
        state = model.state_dict()
        for name, value in state.items():
            if name.split(".")[-1] in PER_JOINT:
                value = value[..., order, :][..., order]
            if name.startswith("data_norm") and value.dim():
                value = value.view(-1, 5, 3)[:, order].flatten()
            state[name] = value
        other.double().load_state_dict(state)
        assert_close(other.eval()(x[:, :, :, order]), model(x), "scores")

    def test_messages_equal_the_dense_path(self):
        x = self.clips(dtype=torch.double)
        model = self.make().double()
        dense = self.gradients(copy.deepcopy(model), x)
        sparse = self.gradients(model.use_messages(), x)
        assert_close(sparse[0], dense[0], "scores")
        for ours, theirs in zip(sparse[1], dense[1], strict=True):
            assert_close(ours, theirs, "gradients")
        assert_close(model.eval().use_messages(False)(x), model.use_messages()(x), "scores")

    def test_graphs_equal_clips(self):
        model, x = self.make().eval(), self.clips()
        graphs = [model.graph.to_data(clip) for clip in x]
        assert_close(model(Batch.from_data_list(graphs)), model(x), "scores of a batch")
        assert_close(model(graphs[1]), model(x[1:2]), "scores of one graph")

    def test_fused_scores_are_the_same(self):
        model, x = self.make().eval(), self.clips(5, 3, 9, 5, 2)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        fused = model.fuse(at_once=2)
        with torch.no_grad():
            assert_close(fused(x), model(x), "scores", rtol=1e-5, atol=1e-5)
            assert_close(fused.fuse(at_once=None)(x), model(x), "scores", rtol=1e-5, atol=1e-5)
        assert not any(parameter.requires_grad for parameter in fused.parameters())
        folded = sum(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
        assert folded < sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name
        model, x = model.double(), x.double()
        assert_close(model.fuse()(x), model(x), "scores")

    def test_compile(self):
        torch.compiler.reset()
        model, x = self.make(), self.clips()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        expected, wanted = self.gradients(copy.deepcopy(model), x)
        out, found = self.gradients(compiled, x)
        assert_close(out, expected, "scores")
        for ours, theirs in zip(found, wanted, strict=True):
            assert_close(ours, theirs, "gradients", rtol=1e-3, atol=1e-4)
        torch.compiler.reset()

    def test_bfloat16(self):
        model, x = self.make().eval(), self.clips()
        half = copy.deepcopy(model).bfloat16()
        wanted = model(x)
        found, grads = self.gradients(half, x.bfloat16())
        assert found.dtype == torch.bfloat16
        assert all(grad.isfinite().all() for grad in grads)
        assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
        with torch.autocast("cpu", torch.bfloat16):
            assert (model(x) - wanted).abs().max() < 0.05 * wanted.abs().max()

    def test_absent_persons_and_short_clips_are_finite(self):
        model, x = self.make().train(), self.clips(4, 3, 4, 5, 2)
        x[..., 1] = 0
        assert model(x).isfinite().all()
        one = self.kind()(3, 4, SkeletonGraph("coco-17", self.strategy), 8, (1, 1), 1).eval()
        assert one(torch.rand(1, 3, 7, 17, 1)).shape == (1, 4)

    def test_it_learns(self):
        torch.manual_seed(0)
        model = self.kind()(3, 2, SkeletonGraph(BONES, self.strategy), 8, (1, 1), 1, 0.0)
        y = torch.arange(32) % 2
        phase = torch.rand(32, 1, 1, 1, 1) + torch.linspace(0, 6, 16).view(1, 1, -1, 1, 1)
        x = torch.sin(phase * (1 + y.view(-1, 1, 1, 1, 1))) + 0.1 * torch.randn(32, 3, 16, 5, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(25):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        assert (model(x).argmax(1) == y).float().mean() > 0.9

    def test_state_copies_and_reset(self):
        model, x = self.make().eval(), self.clips()
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = self.make()
        other.reset_parameters()
        assert not torch.equal(other.eval()(x), model(x))
        other.load_state_dict(torch.load(file, weights_only=True))
        for same in (other.eval(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(same(x), model(x))
        first, second = self.make(), self.make()
        for one in (first, second):
            for parameter in one.parameters():
                parameter.data.fill_(7)
            torch.manual_seed(5)
            one.reset_parameters()
        for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b), name
            assert not (a == 7).any(), name

    def test_wrong_inputs_are_named(self):
        model = self.make()
        wrong = {
            r"'x' must be \[B, 3, T, 5, M\]": [(2, 3, 9, 5), (2, 4, 9, 5, 2), (2, 3, 9, 6, 2)],
            "'x' must hold clips of": [(0, 3, 9, 5, 2), (2, 3, 0, 5, 2), (2, 3, 9, 5, 0)],
        }
        if not self.any_persons:
            wrong["2 persons"] = [(2, 3, 9, 5, 1)]
        for message, sizes in wrong.items():
            for size in sizes:
                with pytest.raises(ValueError, match=message):
                    model(torch.zeros(size))
        with pytest.raises(ValueError, match="'x' must hold floats"):
            model(torch.zeros(2, 3, 9, 5, 2, dtype=torch.long))
        with pytest.raises(ValueError, match="'x' holds NaN"):
            model(spoiled((2, 3, 9, 5, 2)))
        if self.any_persons:
            assert model(self.clips(2, 3, 9, 5, 3)).shape == (2, 4)

    def test_wrong_options_are_named(self):
        graph = SkeletonGraph(BONES, self.strategy)
        for options, name in (
            ((0, 4, graph), "in_channels"),
            ((3, 0, graph), "num_classes"),
            ((3, 4, "ntu-25"), "graph"),
            ((3, 4, graph, 0), "hidden_channels"),
            ((3, 4, graph, 8, ()), "num_layers"),
            ((3, 4, graph, 8, (1, 0)), "num_layers"),
            ((3, 4, graph, 8, (1,), 0), "num_person"),
        ):
            with pytest.raises(ValueError, match=f"'{name}' must"):
                self.kind()(*options)
