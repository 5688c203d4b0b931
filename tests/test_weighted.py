"""Every objective of several weighted terms, by the suite that says when one drowns another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

import graphkit
from graphkit.datasets import SceneBatch, SyntheticScenes
from graphkit.distill import (
    DFAD,
    CommonFeatureLearning,
    GroupStackAmalgamation,
    ImageGenerator,
    MutualExploration,
)
from graphkit.nn import EnrichmentTask, FactorBalance, SceneGraphEnricher
from graphkit.testing import WeightedSuite
from graphkit.transfer import LearnedAttribution
from graphkit.vision import (
    DCCD,
    GTAN,
    LIBS,
    SSKD,
    UDOR,
    AherLoss,
    AherNet,
    AttentionSeq2Seq,
    CausalAdv,
    FaceBones,
    GTANLoss,
    Padded,
    SequenceEncoder,
    fit_faces,
    pad_symbols,
    scene_image_loss,
    udor_loss,
)
from graphkit.vision.scenes.scene_to_image import PaintedScene

TRUTH = [
    (torch.tensor([[0.1, 0.35], [0.5, 0.95]]), torch.tensor([0, 2])),
    (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
]
LIBS_TERMS = ("sequence", "context", "frame")
GRAPH = torch.randn(40, 8), torch.randint(0, 40, (2, 160))


class TestGTANLoss(WeightedSuite):
    weights = {"location": 1e6, "overlap": 1e6}

    def make(self, **weights):
        return GTANLoss(**weights), GTAN(6, num_classes=3, channels=8, num_levels=3)

    def step(self, objective):
        loss, model = objective
        loss(model(torch.rand(2, 6, 16)), TRUTH).backward()


class TestAherLoss(WeightedSuite):
    weights = {"foreground": 1e6, "kind": 1e6, "overlap": 1e6}

    def make(self, **weights):
        return AherLoss(**weights), AherNet(6, base=3, target=1, channels=8, num_levels=3)

    def step(self, objective):
        loss, model = objective
        loss(model(torch.rand(2, 6, 32), "base"), TRUTH).backward()


class TestGroupStack(WeightedSuite):
    weights = {"loudness": 1e6, "entropy": 1e7, "sparsity": 1e6, "stack": 1e6}

    def make(self, **weights):
        def blocks():
            return [nn.Sequential(nn.Linear(6, 4), nn.ReLU()), nn.Linear(4, 2)]

        generator, known = [nn.Linear(3, 4), nn.Linear(4, 6)], [["a", "b"], ["c", "d"]]
        parts = [blocks(), blocks()], blocks(), known, ["d", "a"], torch.rand(5, 3)
        return GroupStackAmalgamation(generator, *parts, **weights)

    def step(self, objective):
        objective.generator_loss(torch.randn(8, 3)).backward()


class TestDFADBalance(WeightedSuite):
    weights = {"balance": 1e7}

    def make(self, **weights):
        teacher, student = (
            nn.Sequential(nn.Conv2d(1, w, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9 * w, 10))
            for w in (8, 2)
        )
        generator = ImageGenerator(4, size=8, hidden_channels=4)
        return DFAD(student, teacher, generator, **{"balance": 1.0, **weights})

    def step(self, objective):
        objective.generation(objective.noise(16)).backward()


class CausalAdvSuite(WeightedSuite):
    variant = "M"

    def make(self, **weights):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU())
        return CausalAdv(net, 12, 4, self.variant, eps=0.1, step=0.04, steps=2, **weights)

    def step(self, objective):
        objective.loss(torch.rand(24, 1, 4, 4), y=torch.arange(24) % 4).backward()


class TestCausalAdv(CausalAdvSuite):
    weights = {"alpha": 1e7}


class TestCausalAdvAsTrades(CausalAdvSuite):
    variant = "T"
    weights = {"alpha": 1e7, "beta": 1e7}


class TestDCCD(WeightedSuite):
    weights = {"weight": 1e7, "triplet": 1e6}

    def make(self, **weights):
        return DCCD(nn.Linear(6, 4), 4, num_classes=6, num_domains=3, **weights)

    def step(self, objective):
        y = torch.arange(48) % 6
        objective.loss(torch.randn(48, 6) + y.unsqueeze(1) % 3, y=y, domain=y % 3).backward()


class TestLearnedAttribution(WeightedSuite):
    weights = {"area": 1e6, "guidance": 1e8, "smoothness": 1e6}

    def make(self, **weights):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        return LearnedAttribution(model, steps=1, **weights)

    def step(self, objective):
        objective(torch.rand(5, 1, 8, 8))


class TestUDOR(WeightedSuite):
    weights = {"fuzzy": 1e6, "consistency": 1e8, "adversary": 1e7, "anchor": 1e7}

    def make(self, **weights):
        return UDOR(1, 8, num_parts=3), weights

    def step(self, objective):
        model, weights = objective
        only = torch.tensor([0, 1, 2, -1, -1])
        udor_loss(model, torch.rand(5, 1, 8, 8), only, **weights).backward()


class TestSceneImageLoss(WeightedSuite):
    weights = {"pixel_weight": 1e7, "box_weight": 1e7}

    def make(self, **weights):
        return weights, nn.Linear(3, 3 * 16 + 4)

    def step(self, objective):
        weights, model = objective
        out = model(torch.rand(5, 3))
        images, boxes = out[:, 4:].reshape(5, 3, 4, 4), out[:, :4]
        painted = PaintedScene(images, boxes, images, images)
        truth = torch.rand_like(images), torch.rand_like(boxes)
        scene_image_loss(painted, *truth, **weights).backward()


class TestFitFaces(WeightedSuite):
    weights = {"identity_weight": 1e9, "action_weight": 1e6, "basis_weight": 1e10}

    def make(self, **weights):
        face = FaceBones.standard(actions=("mouth_open",))
        return [(face, weights)]

    def step(self, objective):
        if not objective:
            return  # All steps were made in the first call.
        face, weights = objective.pop()
        points = face(face.draw(6, torch.Generator().manual_seed(0))).detach()
        fit_faces(face, points, torch.arange(6), steps=4, **weights)


class TestFactorBalance(WeightedSuite):
    weights = {"cover": 1e7}

    def make(self, **weights):
        return FactorBalance(**weights)

    def step(self, objective):
        gate = torch.rand(30, 4, requires_grad=True)
        objective(gate, torch.randint(0, 9, (2, 30))).backward()


class TestCommonFeatures(WeightedSuite):
    weights = {"weight": 1e6}

    def make(self, **weights):
        student, teachers = GCN(8, 16, 2, 5), [GCN(8, 32, 2, 3), GCN(8, 24, 2, 2)]
        names, widths = ["convs.0"] * 3, [16, 32, 24]
        return CommonFeatureLearning(student, teachers, names, widths, 12, spatial=False, **weights)

    def step(self, objective):
        objective.loss(*GRAPH).backward()


class TestMutualExploration(WeightedSuite):
    weights = {"divergence": 1e8}

    def make(self, **weights):
        pair = GCN(8, 16, 2, 3), GCN(8, 32, 2, 3)
        names = ("convs.0", "convs.0")
        return MutualExploration(*pair, names, (16, 32), spatial=False, **weights)

    def step(self, objective):
        objective.loss(*GRAPH, y=torch.arange(40) % 3, turn=0).backward()


class TestSSKD(WeightedSuite):
    weights = {"metric_weight": 1e6, "nuclear_weight": 1e6}

    def make(self, **weights):
        network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
        model = SSKD(network, 4, max_clusters=7, peers=1, **weights)
        y = torch.arange(36) % 6
        images = 3 * torch.randn(6, 6)[y] + torch.randn(36, 6)
        model.start_round(model.embed(images), y)
        return model, images, y

    def step(self, objective):
        model, images, y = objective
        model.loss([images + 0.1 * k for k in range(model.views)], y).backward()


class TestLIBS(WeightedSuite):
    weights = {"sequence": 1e7, "context": 1e7, "frame": 1e7}

    def make(self, **weights):
        def reader(width, channels):
            return AttentionSeq2Seq(SequenceEncoder(width, channels), 3, 5)

        parts = [{"sequence": 1.0, "context": 1.0, "frame": 1.0, **weights}[n] for n in LIBS_TERMS]
        model = LIBS(reader(2, 4), reader(3, 6), weights=tuple(parts), max_length=5)
        target = pad_symbols([[1, 0, 2], [2, 1]])
        video = Padded.of([torch.randn(n, 2) for n in (4, 3)])
        taught = model.teach(Padded.of([torch.randn(n, 3) for n in (7, 5)]), target)
        # A teacher that has not learned matches nothing; here each step has its counterpart.
        matched = torch.ones_like(taught.matched)
        contexts = torch.randn_like(taught.contexts)
        return model, video, target, taught._replace(matched=matched, contexts=contexts)

    def step(self, objective):
        model, *parts = objective
        model.loss(*parts).backward()


class TestEnrichmentTask(WeightedSuite):
    weights = {"relation_weight": 1e6}

    def make(self, **weights):
        scenes = SceneBatch.from_data(list(SyntheticScenes(60).splits()[0]))
        model = SceneGraphEnricher(28, 13, hidden_channels=8, triple_channels=8)
        return EnrichmentTask(scenes, scenes, batch_size=8, **weights), model

    def step(self, objective):
        task, model = objective
        task.loss(model, next(iter(task.batches(0)))).backward()


def watched():
    """Every file that looks at the terms of an objective, with what it defines."""
    for path in sorted(Path(graphkit.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text())
        calls = {
            n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and "id" in vars(n.func)
        }
        if "watch_terms" in calls:
            kinds = (ast.ClassDef, ast.FunctionDef)
            yield path.stem, {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "defined"), [pytest.param(*w, id=w[0]) for w in watched()])
def test_what_watches_its_terms_is_in_a_suite(file, defined):
    tree = ast.parse(Path(__file__).read_text())
    suites = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    used = {n.id for suite in suites for n in ast.walk(suite) if isinstance(n, ast.Name)}
    assert used & defined, f"write a WeightedSuite for what {file}.py defines"
