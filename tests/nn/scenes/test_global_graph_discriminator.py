import math

import pytest
import torch

from graphkit.datasets import SceneBatch
from graphkit.nn import GlobalGraphDiscriminator
from graphkit.testing.asserts import assert_close
from graphkit.train import gan_loss
from tests.nn.scenes.problems import OBJECTS, PREDICATES, some_scenes, union


def make():
    return GlobalGraphDiscriminator(OBJECTS, PREDICATES, 16)


def test_one_score_per_graph_alone_or_in_a_batch():
    judge, parts = make().eval(), some_scenes()
    scores = judge(union())
    alone = [judge(SceneBatch.from_data(data)) for data in parts]
    assert_close(scores, torch.cat(alone))


def test_begins_undecided():
    scores, bce = make()(union()), gan_loss("bce")
    for loss in (bce.real(scores).mean(), bce.fake(scores).mean()):
        assert float(loss.detach()) == pytest.approx(math.log(2), abs=0.02)


def test_cannot_tell_a_set_from_itself():
    judge, scenes = make(), union()
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(20):
        scores = judge(scenes)
        loss = gan_loss("bce").discriminator(scores, scores) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) >= math.log(2) - 0.02


def test_learns_that_predicates_are_wrong():
    judge, real = make(), union()
    fake = SceneBatch(
        real.x, real.edge_index, (real.edge_attr + 5) % PREDICATES, real.batch, real.num_graphs
    )
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(60):
        loss = gan_loss("bce").discriminator(judge(real), judge(fake)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3
