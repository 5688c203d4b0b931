"""The six steps: who changes what, the game, and going on in the middle of a round."""

import copy
import hashlib
import signal

import pytest
import torch

from graphkit.testing import needs_cuda
from graphkit.train import load_checkpoint
from graphkit.vision import AherBatch, AherLoss, AherNet, AherSteps, ContextDiscriminator
from graphkit.vision.actions.aher_steps import NAMES
from tests.processes import Process

ALLOWED = {
    "classify_moments": {"backbone", "classify_target"},
    "classify_foreground": {"classify_base"},
    "localize_videos": {"backbone", "heads", "transfer"},
    "help_localizer": {"generator"},
    "play": {"discriminator", "generator"},
    "localize_moments": {"backbone", "heads"},
}


def batch(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    truth = [
        (torch.tensor([[0.1, 0.4], [0.6, 0.9]]), torch.tensor([0, 1])),
        (torch.tensor([[0.3, 0.8]]), torch.tensor([2])),
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
    ]
    return AherBatch(
        torch.randn(count, 4, 16, generator=generator),
        torch.arange(count) % 2,
        torch.randn(count, 4, 32, generator=generator),
        truth[:count],
    )


def stepper(**options):
    torch.manual_seed(0)
    model = AherNet(4, base=3, target=2, channels=6, num_levels=3)
    loss = AherLoss(positive=0.5)
    return AherSteps(model, loss=loss, **{"lr": 0.01, "shares": (0.2, 0.5), **options})


def hashes(steps):
    parts = {
        **dict(steps.model.named_children()),
        "generator": steps.generator,
        "discriminator": steps.discriminator,
    }
    return {
        name: hashlib.sha256(
            b"".join(value.numpy().tobytes() for value in part.state_dict().values())
        ).hexdigest()
        for name, part in parts.items()
    }


def test_each_step_changes_its_own_parameters_and_no_others():
    steps = stepper()
    for _ in range(2):
        for name in NAMES:
            before = hashes(steps)
            assert steps.step(batch())[0] == name
            after = hashes(steps)
            assert {part for part in before if before[part] != after[part]} == ALLOWED[name]
    everyone = (steps.model, steps.generator, steps.discriminator)
    assert all(p.grad is None for part in everyone for p in part.parameters())


def test_all_parameters_are_somebodys():
    steps = stepper()
    known = {id(p) for group in steps.groups().values() for p in group}
    everyone = (steps.model, steps.generator, steps.discriminator)
    assert known == {id(p) for part in everyone for p in part.parameters()}


@pytest.mark.parametrize(
    ("context", "names"),
    [
        ("adversarial", NAMES),
        ("random", (*NAMES[:3], NAMES[5])),
        ("repeat", (*NAMES[:3], NAMES[5])),
        ("none", NAMES[:3]),
    ],
)
def test_arms_take_their_steps(context, names):
    steps = stepper(context=context)
    before = hashes(steps)
    assert tuple(steps.iterate(batch())) == names
    for part in ("generator", "discriminator"):
        assert (hashes(steps)[part] == before[part]) == (context != "adversarial")


def test_repeated_contexts_repeat():
    steps, one = stepper(context="repeat", shares=(0.5,), places=(0.5,)), batch()
    x, truth = steps.sequences(one)
    assert truth[0][0].tolist() == [[0.25, 0.75]]
    assert truth[1][1].tolist() == [1]
    assert torch.equal(x[..., :7], one.moments[..., :1].expand(-1, -1, 7))
    assert torch.equal(x[..., 25:], one.moments[..., -1:].expand(-1, -1, 7))


def test_every_share_and_place_gives_whole_sequences():
    steps, lengths = stepper(shares=(0.01, 0.33, 1.0), places=(0.0, 0.5, 1.0)), set()
    for _ in range(20):
        x, truth = steps.sequences(batch())
        assert x.shape == (3, 4, 32)
        for segment, _ in truth:
            assert 0 <= segment[0, 0] < segment[0, 1] <= 1
            lengths.add(round(32 * float(segment[0, 1] - segment[0, 0])))
    assert lengths == {1, 11, 32}


def test_a_run_goes_on_in_the_middle_of_a_round():
    whole = stepper()
    for number in range(16):
        whole.step(batch(number))
    first = stepper()
    for number in range(10):
        first.step(batch(number))
    state = copy.deepcopy(first.state_dict())
    torch.manual_seed(9)
    second = AherSteps(
        AherNet(4, base=3, target=2, channels=6, num_levels=3),
        loss=AherLoss(positive=0.5),
        lr=0.01,
        shares=(0.2, 0.5),
        seed=5,
    )
    second.load_state_dict(state)
    for number in range(10, 16):
        second.step(batch(number))
    assert hashes(second) == hashes(whole)
    assert second.done == whole.done


def test_the_discriminator_learns_and_is_deceived():
    """Videos are brighter than moments; a fixed generator's context is told from them."""
    shares = {}
    for plays in (False, True):
        steps = stepper(shares=(0.2,), adversary_lr=0.02)
        if not plays:
            steps.optimizers["play_generator"] = torch.optim.SGD(steps.generator.parameters(), 0.0)
        for number in range(60):
            one = batch(number)
            steps.play(one._replace(videos=one.videos + 20))
        with torch.no_grad():
            x, truth = steps.sequences(batch(99))
            _, fake = steps.backgrounds(batch(99), truth)
            score = steps.discriminator(steps.model.pyramid(x))
        shares[plays] = float(score[fake].sigmoid().mean())
    assert shares[False] < 0.35
    assert shares[True] > shares[False] + 0.1


def test_the_released_mask_is_of_both_videos():
    one = batch()
    for variant in ("paper", "released"):
        steps = stepper(variant=variant)
        x, truth = steps.sequences(one)
        real, fake = steps.backgrounds(one, truth)
        found = steps.model(x)
        assert torch.equal(found.centre, steps.model(one.videos).centre)
        half = found.width[0] / 2
        anchors = torch.stack([found.centre[0] - half, found.centre[0] + half], 1)
        ours = steps.loss.background(anchors, one.truth)
        theirs = steps.loss.background(anchors, truth)
        both = ours & theirs
        assert torch.equal(real, both if variant == "released" else ours)
        assert torch.equal(fake, both if variant == "released" else theirs)
    few = one._replace(moments=one.moments[:2], kinds=one.kinds[:2])
    truth = steps.sequences(few)[1]
    with pytest.raises(ValueError, match="pairs videos and moments"):
        steps.backgrounds(few, truth)


def test_without_background_the_game_costs_nothing():
    steps = stepper(shares=(1.0,), variant="released")
    whole = torch.tensor([[0.0, 1.0]]), torch.tensor([0])
    # A negative overlap below that of any anchor: nothing is background.
    steps.loss.negative = 1e-9
    before = hashes(steps)
    assert steps.play(batch()._replace(truth=[whole] * 3)) == 0
    assert hashes(steps) == before


def test_one_moment_of_one_class_and_no_action_in_any_video():
    steps = stepper()
    none = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
    one = batch(count=1)._replace(truth=[none])
    losses = steps.iterate(one)
    assert losses["classify_foreground"] == 0
    assert all(torch.tensor(value).isfinite() for value in losses.values())


def test_numbers_that_are_none_stop_the_run():
    steps = stepper()
    with torch.no_grad():
        steps.model.classify_target[0].bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="classify_moments"):
        steps.step(batch())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": "film"}, "context"),
        ({"variant": "mine"}, "variant"),
        ({"shares": ()}, "shares"),
        ({"shares": (0.0,)}, "shares"),
        ({"places": (1.5,)}, "places"),
        ({"rounds": 0}, "rounds"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stepper(**options)


def test_batches_must_fit():
    one = batch()
    for wrong in (one._replace(kinds=one.kinds[:2]), one._replace(truth=one.truth[:1])):
        with pytest.raises(ValueError, match="batch"):
            stepper().step(wrong)
    assert isinstance(stepper().discriminator, ContextDiscriminator)


@needs_cuda
def test_a_round_on_a_gpu():
    steps = stepper()
    for part in (steps.model, steps.generator, steps.discriminator):
        part.cuda()
    one = batch()
    moved = AherBatch(one.moments.cuda(), one.kinds.cuda(), one.videos.cuda(), one.truth)
    assert tuple(steps.iterate(moved)) == NAMES
    assert steps.model(moved.videos).centre.is_cuda


def test_the_network_compiles_without_breaks():
    model, x = stepper().model, batch().videos
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x).logits, model(x).logits)


def test_a_class_is_no_network():
    model = stepper().model
    with pytest.raises(TypeError, match="'model' is the class AherNet"):
        AherSteps(AherNet)
    for name in ("generator", "discriminator", "loss"):
        with pytest.raises(TypeError, match=f"'{name}' is the class AherLoss"):
            AherSteps(model, **{name: AherLoss})


PROGRAM = """
import os, signal, sys
from graphkit.train import save_checkpoint
from tests.vision.actions.test_aher_steps import batch, stepper

steps = stepper(seed=4)
descend = steps.descend

def descend_or_die(name, loss):
    value = descend(name, loss)
    if steps.done == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return value

steps.descend = descend_or_die
while True:
    steps.step(batch(steps.done))
    save_checkpoint({"graphkit_checkpoint": 1, "steps": steps.state_dict()}, sys.argv[1])
"""


def test_a_run_killed_within_a_step_goes_on_bit_for_bit(tmp_path):
    """Killed in the second round, after the discriminator's turn and before the generator's."""
    path = tmp_path / "run.pt"
    assert Process(PROGRAM, path).wait().returncode == -signal.SIGKILL
    whole, again = stepper(seed=4), stepper(seed=9)
    again.load_state_dict(load_checkpoint(path)["steps"])
    assert again.names[again.done % 6] == "play"
    assert again.done == 10
    for number in range(15):
        whole.step(batch(number))
        if number >= 10:
            again.step(batch(number))
    assert hashes(again) == hashes(whole)
    assert torch.equal(again.random.get_state(), whole.random.get_state())
