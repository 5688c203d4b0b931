import torch
from scipy.stats import chisquare

from graphkit.compress import Lineage
from graphkit.compress.evolution import descend, roulette, segment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_roulette_follows_fitness():
    fitness = torch.tensor([1.0, 2.0, 3.0, 0.0, 4.0])
    picks = torch.tensor(roulette(fitness, 5000, generator())).bincount(minlength=5)
    assert picks[3] == 0
    expected = (fitness / fitness.sum() * 5000)[[0, 1, 2, 4]].numpy()
    assert chisquare(picks[[0, 1, 2, 4]].numpy(), expected).pvalue > 1e-3
    alike = torch.tensor(roulette(torch.zeros(4), 4000, generator())).bincount(minlength=4)
    assert chisquare(alike.numpy()).pvalue > 1e-3


def test_segments_stay_inside():
    draw = generator()
    pieces = [segment(7, 3, draw) for _ in range(300)]
    assert {piece.stop - piece.start for piece in pieces} == {1, 2, 3}
    assert min(piece.start for piece in pieces) == 0
    assert max(piece.stop for piece in pieces) == 7
    assert segment(1, 6, draw) == slice(0, 1)


def test_the_best_stays_and_the_population_is_full():
    bits, fitness = torch.rand(9, 12, generator=generator()) < 0.5, torch.rand(9)
    for seed in range(5):
        after, parents, operator = descend(bits, fitness, (0.2, 0.7, 0.1), 4, generator(seed))
        assert after.shape == bits.shape
        assert after.dtype == torch.bool
        assert torch.equal(after[0], bits[fitness.argmax()])
        assert (operator[0], parents[0].tolist()) == (0, [int(fitness.argmax()), -1])
        again = descend(bits, fitness, (0.2, 0.7, 0.1), 4, generator(seed))
        assert torch.equal(after, again[0])


def test_operators_do_what_they_say():
    bits, fitness = torch.rand(40, 30, generator=generator()) < 0.5, torch.ones(40)
    after, parents, operator = descend(bits, fitness, (0.3, 0.4, 0.3), 5, generator(1))
    assert set(operator.tolist()) == {0, 1, 2, 3}
    for row, (first, second), kind in zip(after, parents.tolist(), operator.tolist(), strict=True):
        flipped = (row != bits[first]).nonzero().flatten()
        if kind in (0, 1):
            assert len(flipped) == 0
        elif kind == 3:
            # One piece without gaps, and short.
            assert 1 <= len(flipped) <= 5
            assert len(flipped) == flipped[-1] - flipped[0] + 1
        else:
            both = (row == bits[first]) | (row == bits[second])
            assert both.all()
    kinds = operator[1:].bincount(minlength=4)[1:]
    assert kinds[1] > 0


def test_twins_cross_to_twins_and_a_segment_flipped_twice_is_back():
    bits = (torch.rand(1, 20, generator=generator()) < 0.5).repeat(8, 1)
    after, _, _ = descend(bits, torch.ones(8), (0.0, 1.0, 0.0), 6, generator())
    assert torch.equal(after, bits)
    one, _, _ = descend(bits[:2], torch.ones(2), (0.0, 0.0, 1.0), 6, generator(3))
    two, _, _ = descend(one.flip(0), torch.ones(2), (0.0, 0.0, 1.0), 6, generator(3))
    assert not torch.equal(one[1], bits[0])
    assert torch.equal(two[1], bits[0])


def test_the_best_of_a_lineage_is_in_its_last_generation():
    bits = torch.rand(2, 3, 4, generator=generator()) < 0.5
    fitness = torch.tensor([[9.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    lineage = Lineage(bits, fitness, torch.full((2, 3, 2), -1), torch.full((2, 3), -1))
    assert torch.equal(lineage.best(), bits[1, 2])
