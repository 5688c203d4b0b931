"""Which entries are dropped, by plain integers."""

import math

import pytest
import torch

from graphkit.ops import dropout
from tests.ops.oracles import hashed, is_kept, mask_word


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 2, 987654321])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.75])
def test_masks_are_those_of_the_definition(seed, probability):
    like = torch.empty(3, 5, 7, dtype=torch.float64)
    found = dropout.keep_scale(torch.tensor([seed]), like, probability)
    kept = [is_kept(counter, seed, probability) for counter in range(105)]
    wanted = torch.tensor(kept).double().view(3, 5, 7) / (1 - probability)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    assert found.unique().numel() == 2


@pytest.mark.parametrize("counter", [0, 3])
def test_the_word_that_is_the_threshold_itself_is_kept(counter):
    word = mask_word(counter, 7)
    for more, kept in ((0, True), (1, False)):
        found = dropout.keep_scale(torch.tensor([7]), torch.empty(4), (word + more) / 2**32)
        assert bool(found[counter] > 0) == kept


def test_keys_of_integers_and_of_tensors_are_the_same():
    for seed in (0, 5, 2**40 + 3):
        wanted = hashed(seed % 2**32), hashed((seed ^ 0x9E3779B1) % 2**32)
        assert dropout.keys(seed) == wanted
        assert tuple(int(key) for key in dropout.keys(torch.tensor([seed]))) == wanted


def test_thresholds_stay_in_a_word():
    assert dropout.threshold(0.0) == 0
    assert dropout.threshold(0.5) == 2**31
    assert dropout.threshold(1.0) == 2**32 - 1
    assert dropout.threshold(2.0**-32) == 1


def test_a_share_is_kept_that_fits_the_probability():
    for seed in range(3):
        kept = dropout.keep_scale(torch.tensor([seed]), torch.empty(20_000), 0.3) > 0
        assert abs(kept.float().mean().item() - 0.7) < 4 * math.sqrt(0.21 / 20_000)


def test_seeds_come_from_the_generator_and_nothing_has_none():
    torch.manual_seed(5)
    first, second = (dropout.draw_seed(torch.device("cpu")) for _ in range(2))
    torch.manual_seed(5)
    assert dropout.draw_seed(torch.device("cpu")) == first
    assert first != second
    assert first.shape == (1,)
    assert first.dtype == torch.int64
    seeds = torch.cat([dropout.draw_seed(torch.device("cpu")) for _ in range(200)])
    assert 0 <= seeds.min() < 2**27 < 2**30 < seeds.max() < 2**31 - 1


def test_no_seed_is_zero_and_never_the_same_memory_where_calls_are_recorded():
    cpu = torch.device("cpu")
    plain = dropout.no_seed(cpu)
    assert plain.tolist() == [0]
    assert dropout.no_seed(cpu) is plain
    with torch._subclasses.FakeTensorMode():
        fake = dropout.no_seed(cpu)
    assert fake is not plain
    assert (fake.shape, fake.dtype) == ((1,), torch.int64)
    assert dropout.no_seed(torch.device("meta")).dtype == torch.int64


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_seed_is_drawn_for_probabilities_alone(probability):
    with pytest.raises(ValueError, match="dropout must be a probability, got"):
        dropout.checked_seed(probability, torch.device("cpu"))


def test_a_seed_is_drawn_only_if_something_is_dropped():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert dropout.checked_seed(0.0, torch.device("cpu")).tolist() == [0]
    assert torch.equal(torch.get_rng_state(), before)
    drawn = dropout.checked_seed(1.0, torch.device("cpu"))
    torch.manual_seed(0)
    assert torch.equal(drawn, dropout.draw_seed(torch.device("cpu")))
