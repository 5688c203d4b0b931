import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.datasets import DamagedDataError
from graphkit.datasets.skeletons.ntu.raw import parse_skeleton, read_skeleton, walk
from graphkit.testing import assert_grows_linearly, cost_of
from tests.datasets.skeletons.ntu_files import FIRST_BODY, random_frames, skeleton_text, write


def text_of(*counts, seed=0):
    frames = random_frames(list(counts), np.random.default_rng(seed))
    return frames, skeleton_text(frames)


def test_what_was_written_is_read(tmp_path):
    frames, _ = text_of(1, 2, 0, 1, 3)
    clip = read_skeleton(write(tmp_path / "a.skeleton", frames))
    assert clip.num_frames == 5
    assert clip.bodies == tuple(str(FIRST_BODY + i) for i in range(3))
    assert clip.frame.tolist() == [0, 1, 1, 3, 4, 4, 4]
    assert clip.body.tolist() == [0, 0, 1, 0, 0, 1, 2]
    assert clip.joints.dtype == np.float32
    wanted = np.stack([joints for bodies in frames for joints in bodies.values()])
    assert clip.joints == pytest.approx(wanted, rel=1e-6)


def test_bodies_whose_names_differ_in_the_last_digit_stay_apart():
    """Their names are beyond the integers that a float64 holds."""
    _, text = text_of(2)
    assert float(FIRST_BODY) == float(FIRST_BODY + 1)
    assert len(parse_skeleton(text.encode()).bodies) == 2


@pytest.mark.parametrize("columns", [1, 3, 5, 12])
def test_columns(columns):
    _, text = text_of(1, 2)
    values = parse_skeleton(text.encode(), columns=columns).joints
    rows = [line.split() for line in text.split("\n")]
    wanted = np.array([row for row in rows if len(row) == 12], dtype=float)[:, :columns]
    assert values.reshape(-1, columns) == pytest.approx(wanted, rel=1e-6)
    for wrong in (0, 13):
        with pytest.raises(ValueError, match="'columns'"):
            parse_skeleton(text.encode(), columns=wrong)


def test_what_is_repaired_or_allowed():
    _, text = text_of(1, 1)
    wanted = parse_skeleton(text.encode()).joints
    for same in (text.replace("\r", ""), "\n" + text.replace("\r\n", "\n\n"), text.strip()):
        assert np.array_equal(parse_skeleton(same.encode()).joints, wanted)
    for none in ("0", "3\n0\n0\n0\n"):
        clip = parse_skeleton(none.encode())
        assert (clip.num_frames, clip.joints.shape) == (int(none[0]), (0, 25, 3))
    lines = text.split("\r\n")
    words = lines[4].split()
    lines[4] = " ".join([*words[:3], "nan", "NaN", *words[5:]])
    assert np.array_equal(parse_skeleton("\n".join(lines).encode()).joints, wanted)


def changed(line, make):
    """A clip of two frames with one line changed; lines count from 1."""
    lines = text_of(1, 2)[1].split("\r\n")
    lines[line - 1 : line] = make(lines[line - 1])
    return "\r\n".join(lines)


FAULTS = {
    "empty": ("", r"line 1: the file ends"),
    "blank": ("\n \n", r"line 1: the file ends"),
    "no frames": (changed(1, lambda _: ["x"]), r"line 1: expected the number of frames, got 'x'"),
    "endless": (
        changed(1, lambda _: ["9" * 30]),
        r"line 1: expected the number of frames, got '9+'",
    ),
    "long": (changed(2, lambda _: ["1" * 5000]), r"line 2: expected the number of bodies"),
    "negative": (changed(1, lambda _: ["-2"]), r"line 1: .*'-2'"),
    "fraction": (changed(1, lambda _: ["2.0"]), r"line 1: .*'2\.0'"),
    "fewer frames": (changed(1, lambda _: ["1"]), r"line 30: nothing should follow"),
    "more frames": (changed(1, lambda _: ["3"]), r"line 84: the file ends.*bodies of frame 2"),
    "missing body": (changed(30, lambda _: ["3"]), r"line 84: the file ends.*body 2 of frame 1"),
    "extra body": (changed(30, lambda _: ["1"]), r"line 58: nothing should follow"),
    "body twice": (changed(58, lambda s: [f"{FIRST_BODY} {s.split(' ', 1)[1]}"]), r"58.*twice"),
    "body name": (changed(3, lambda s: ["-" + s]), r"line 3: the name of body 0 .*digits"),
    "body line": (changed(3, lambda s: [s + " 1"]), r"line 3: expected 10 numbers .*11 words"),
    "joint count": (changed(4, lambda _: ["20"]), r"line 4: body 0 of frame 0 must have 25"),
    "missing joint": (changed(9, lambda _: []), r"line 29: expected 12 numbers of joint 24"),
    "extra joint": (changed(9, lambda s: [s, s]), r"line 30: expected the number of bodies"),
    "short joint": (changed(9, lambda s: [s[2:].split(" ", 1)[1]]), r"line 9: .*11 words"),
    "text": (changed(9, lambda s: ["abc " + s.split(" ", 1)[1]]), r"line 9: .*'abc'"),
    "text behind": (changed(9, lambda s: [s.rsplit(" ", 1)[0] + " abc"]), r"line 9: .*'abc'"),
    "two points": (changed(9, lambda s: ["1.2.3 " + s.split(" ", 1)[1]]), r"line 9: .*'1\.2\.3'"),
    "nan": (changed(9, lambda s: ["nan " + s.split(" ", 1)[1]]), r"line 9: joint 4 .*is at nan"),
    "infinite": (changed(9, lambda s: ["1e999 " + s.split(" ", 1)[1]]), r"line 9: .*1e999"),
    "binary": (changed(9, lambda _: ["\x00\x01\x7f"]), r"line 9: "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_and_line(tmp_path, fault):
    text, message = FAULTS[fault]
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_bytes(text.encode())
    with pytest.raises(DamagedDataError, match=message) as error:
        read_skeleton(path)
    assert str(path) in str(error.value)


def test_every_truncation_is_noticed():
    text = text_of(1, 1)[1].replace("\r", "").strip().encode()
    rng = np.random.default_rng(0)
    cuts = np.flatnonzero(np.frombuffer(text, np.uint8) <= 32)
    for cut in [*cuts[:40], *rng.choice(cuts, 20), cuts[-1]]:
        with pytest.raises(DamagedDataError, match="line"):
            parse_skeleton(text[:cut])


def test_missing_file(tmp_path):
    with pytest.raises(DamagedDataError, match="absent"):
        read_skeleton(tmp_path / "absent.skeleton")


ALPHABET = st.sampled_from([b" ", b"\n", b"0", b"7", b"-", b".", b"e", b"x", b"nan", b"\xff", b""])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_both_ways_of_reading_agree(data):
    """With all columns, the fast reading accepts exactly what the walk over lines accepts."""
    text = text_of(1, 2)[1].encode()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(ALPHABET) + text[at + data.draw(st.integers(0, 2)) :]
    try:
        walk(text, "text")
    except DamagedDataError:
        with pytest.raises(DamagedDataError):
            parse_skeleton(text, columns=12)
        return
    rows = [line.decode("latin-1").split() for line in text.split(b"\n")]
    wanted = [[float(word) for word in row[:3]] for row in rows if len(row) == 12]
    found = parse_skeleton(text, columns=12).joints[..., :3]
    assert found.reshape(-1, 3) == pytest.approx(np.array(wanted), rel=1e-6)


def test_lines_are_read_without_a_loop_over_their_numbers():
    """The walk over lines, which looks for mistakes, takes over fifty lines of Python for each."""
    text = text_of(*[1] * 40)[1].encode()
    lines = text.count(b"\n")
    assert cost_of(lambda: parse_skeleton(text)).lines < 4 * lines
    assert cost_of(lambda: walk(text, "text")).lines > 50 * lines


def test_time_grows_linearly_with_the_text():
    def reading(frames):
        text = text_of(*[1] * frames)[1].encode()
        return lambda: parse_skeleton(text)

    assert_grows_linearly(reading, 20)
