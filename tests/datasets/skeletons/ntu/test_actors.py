import numpy as np
import pytest

from graphkit.datasets.skeletons.ntu.actors import find_actors
from graphkit.datasets.skeletons.ntu.raw import parse_skeleton
from tests.datasets.skeletons.ntu_files import moving_body, skeleton_text


def body(swing=0.3, frames=30, wide=False):
    joints = moving_body(0, frames, np.random.default_rng(0), swing)
    return joints * [8.0, 1.0, 1.0] if wide else joints


def clip(frames, **bodies):
    """A clip of bodies ``name=(joints, first frame)``, names like ``b7``."""
    present = [{} for _ in range(frames)]
    for name, (joints, first) in bodies.items():
        for step, row in enumerate(joints):
            present[first + step][int(name[1:])] = row
    return parse_skeleton(skeleton_text(present).encode())


def same(found, wanted):
    return found == pytest.approx(np.asarray(wanted, dtype=np.float32), rel=1e-5, abs=1e-5)


def test_one_body():
    joints = body()
    found = find_actors(clip(30, b1=(joints, 0)))
    assert found.shape == (30, 2, 25, 3)
    assert same(found[:, 0], joints)
    assert not found[:, 1].any()


def test_empty_frames_are_dropped():
    joints = body(frames=28)
    found = find_actors(clip(40, b1=(joints[:14], 1), b2=(joints[14:], 20)))
    assert same(found[:, 0], joints)
    assert not found[:, 1].any()
    assert find_actors(clip(5)).shape == (0, 2, 25, 3)
    assert find_actors(parse_skeleton(b"0\n")).shape == (0, 2, 25, 3)


def test_the_one_who_moves_most_is_first():
    calm, lively = body(0.1), body(0.5)
    found = find_actors(clip(30, b1=(calm, 0), b2=(lively, 0)))
    assert same(found[:, 0], lively)
    assert same(found[:, 1], calm)


def test_short_and_wide_bodies_are_no_persons():
    person = body()
    ghost = find_actors(clip(30, b1=(body(2.0, 11), 0), b2=(person, 0)))
    assert same(ghost[:, 0], person)
    assert not ghost[:, 1].any()
    table = find_actors(clip(30, b1=(body(2.0, wide=True), 0), b2=(person, 0)))
    assert same(table[:, 0], person)
    assert not table[:, 1].any()


def test_a_body_of_twelve_frames_stays():
    person, other = body(), body(0.1, 12)
    found = find_actors(clip(30, b1=(other, 4), b2=(person, 0)))
    assert same(found[4:16, 1], other)
    assert not found[16:, 1].any()


def test_motion_of_bodies_that_are_wide_for_a_while_counts_the_narrow_frames():
    """Half of the lively body's frames are wide and far away: without them it moves less."""
    calm, lively = body(0.3), body(0.05)
    lively[:15] = lively[:15] * [8.0, 1.0, 1.0] + [5.0, 0.0, 0.0]
    found = find_actors(clip(30, b1=(lively, 0), b2=(calm, 0)))
    assert same(found[:, 0], calm)
    assert same(found[:, 1], lively)


def test_a_third_body_fills_a_gap_or_is_left_out():
    main, second, third = body(0.5, 30), body(0.4, 15), body(0.3, 15)
    found = find_actors(clip(40, b1=(main, 0), b2=(second, 0), b3=(third, 20)))
    assert same(found[20:35, 1], third)
    out = find_actors(clip(30, b1=(main, 0), b2=(body(0.4), 0), b3=(third, 10)))
    assert same(out[:, 1], body(0.4))


def test_a_body_that_comes_back_under_another_name():
    joints = body(0.5, 40)
    found = find_actors(clip(40, b1=(joints[:20], 0), b2=(joints[20:], 20)))
    assert same(found[:, 0], joints)
    assert not found[:, 1].any()


def test_repairs():
    """If all bodies are short the longest stays; gaps keep their frames."""
    longer = body(0.1, 9)
    found = find_actors(clip(9, b1=(body(0.5, 6), 0), b2=(longer, 0)))
    assert same(found[:, 0], longer)
    joints, other = body(0.5, 40), body(0.1, 40)
    present = [{1: joints[i]} | ({2: other[i]} if not 10 <= i < 15 else {}) for i in range(40)]
    found = find_actors(parse_skeleton(skeleton_text(present).encode()))
    assert same(found[15:, 1], other[15:])
    assert not found[10:15, 1].any()


def published(clip):
    """The denoising of the released programs, step by step over plain lists.

    Its two stops are left out: bodies have no gaps here, and one of them is long enough.
    """
    seen = sorted(set(clip.frame.tolist()))
    bodies = {}
    for number in range(len(clip.bodies)):
        rows = clip.body == number
        frames = [seen.index(frame) for frame in clip.frame[rows].tolist()]
        joints = clip.joints[rows].astype(np.float64)
        spread = sum(joints.reshape(-1, 3).var(axis=0))
        bodies[number] = {"frames": frames, "joints": joints, "motion": spread}
    if len(bodies) > 1:
        bodies = {name: body for name, body in bodies.items() if len(body["frames"]) > 11}
    for name in list(bodies):
        if len(bodies) == 1:
            break
        joints = bodies[name]["joints"]
        narrow = [
            i for i, body in enumerate(joints) if np.ptp(body[:, 0]) <= 0.8 * np.ptp(body[:, 1])
        ]
        noisy = len(joints) - len(narrow)
        if noisy and noisy / len(joints) >= 0.69754:
            del bodies[name]
        elif noisy:
            spread = sum(joints[narrow].reshape(-1, 3).var(axis=0))
            bodies[name]["motion"] = min(bodies[name]["motion"], spread)
    order = sorted(bodies.values(), key=lambda body: body["motion"], reverse=True)
    actors = np.zeros((len(seen), 2, 25, 3), dtype=np.float32)
    taken = [None, [0, 0]]
    for body in order:
        first, last = body["frames"][0], body["frames"][-1]
        for person in (0, 1):
            if taken[person] is None:
                actors[first : last + 1, person] = body["joints"]
                taken[person] = [first, last]
                break
            if min(taken[person][1], last) - max(taken[person][0], first) <= 0:
                actors[first : last + 1, person] = body["joints"]
                taken[person] = [min(taken[person][0], first), max(taken[person][1], last)]
                break
    return actors[[frame.any() for frame in actors]]


@pytest.mark.parametrize("seed", range(40))
def test_several_bodies_in_any_order_are_as_published(seed):
    """Furniture first, second or last, bodies that come later and leave, up to five of them."""
    generator = np.random.default_rng(seed)
    bodies, long = {}, generator.integers(1, 5)
    for number in range(generator.integers(long, 6)):
        frames = (
            int(generator.integers(12, 40)) if number < long else int(generator.integers(1, 11))
        )
        joints = moving_body(number, frames, generator, generator.uniform(0.05, 0.6))
        wide = generator.random(frames) < generator.choice([0.0, 0.4, 1.0])
        joints[wide] *= [8.0, 1.0, 1.0]
        bodies[f"b{number + 1}"] = (joints, int(generator.integers(0, 40)))
    names = list(bodies)
    generator.shuffle(names)
    last = max(first + len(joints) for joints, first in bodies.values())
    whole = clip(last, **{name: bodies[name] for name in names})
    found, wanted = find_actors(whole), published(whole)
    assert found.shape == wanted.shape
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_furniture_anywhere_among_the_bodies_goes(place):
    people = [("b2", (body(0.5), 0)), ("b3", (body(0.3), 0))]
    people.insert(place, ("b1", (body(2.0, wide=True), 0)))
    found = find_actors(clip(30, **dict(people)))
    assert same(found[:, 0], body(0.5))
    assert same(found[:, 1], body(0.3))
