import pytest
import torch

from graphkit.datasets import SceneBatch, SyntheticScenes
from graphkit.metrics import two_sample_accuracy

OBJECTS, PREDICATES = 28, 13


def scenes(seed=0, count=160):
    return SceneBatch.from_data(list(SyntheticScenes(num_graphs=count, seed=seed)))


def turned(part):
    """The same objects, every triple the other way round."""
    return SceneBatch(part.x, part.edge_index.flip(0), part.edge_attr, part.batch, part.num_graphs)


def test_equal_sets_cannot_be_told_apart():
    assert two_sample_accuracy(scenes(), scenes(1), OBJECTS, PREDICATES, epochs=5) < 0.65


def test_structure_alone_is_told_apart():
    real = scenes()
    assert two_sample_accuracy(real, turned(scenes(1)), OBJECTS, PREDICATES) > 0.9


@torch.no_grad()
def test_is_seeded_and_leaves_the_generator_alone():
    real, fake = scenes(count=40), scenes(1, count=60)
    state = torch.get_rng_state()
    first = two_sample_accuracy(real, fake, OBJECTS, PREDICATES, epochs=2, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert two_sample_accuracy(real, fake, OBJECTS, PREDICATES, epochs=2, seed=3) == first


def test_too_few_graphs_are_refused():
    with pytest.raises(ValueError, match="four graphs or more, got 3"):
        two_sample_accuracy(scenes(count=3), scenes(count=9), OBJECTS, PREDICATES)
