"""The raw ``.skeleton`` text of NTU RGB+D, read without a loop over joints or numbers."""

from __future__ import annotations

import codecs
import os
import string
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphkit.guard import DamagedDataError

__all__ = ["RawSkeleton", "parse_skeleton", "read_skeleton"]

NUM_JOINTS = 25
BODY, JOINT = 10, 12
DIGITS = 18
RECORD = 2 + NUM_JOINTS
PLAIN = np.isin(np.arange(256), list((string.digits + "+-.eE" + string.whitespace).encode()))


@dataclass(frozen=True)
class RawSkeleton:
    r"""What one ``.skeleton`` file holds: a record for each body in each frame.

    Args:
        num_frames (int): Frames of the clip, those without bodies included.
        bodies (tuple of str): The sensor's names of the bodies, in order of appearance.
        frame (np.ndarray): Frame of each record, ascending.
        body (np.ndarray): Its body, a position in :obj:`bodies`.
        joints (np.ndarray): Its joints.

    Shapes:
        - **frame, body:** :math:`(R)`
        - **joints:** :math:`(R, 25, 3)`, metres from the sensor, float32
    """

    num_frames: int
    bodies: tuple[str, ...]
    frame: np.ndarray
    body: np.ndarray
    joints: np.ndarray


def read_skeleton(path: str | os.PathLike[str], columns: int = 3) -> RawSkeleton:
    r"""Reads a ``.skeleton`` file of NTU RGB+D (`"NTU RGB+D: A Large Scale Dataset for 3D Human
    Activity Analysis" <https://arxiv.org/abs/1604.02808>`_).

    Args:
        path (str or Path): The file.
        columns (int, optional): Numbers kept per joint: position (3), depth image (5), colour
            image (7), orientation (11), tracking state (12). (default: :obj:`3`)

    Raises:
        DamagedDataError: If the file cannot be read or is not in the format; the message names
            the file and the line.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise DamagedDataError(f"cannot read '{path}': {error}") from error
    return parse_skeleton(text.removeprefix(codecs.BOM_UTF8), os.fspath(path), columns)


def parse_skeleton(text: bytes, name: str = "text", columns: int = 3) -> RawSkeleton:
    r"""Parses the content of a ``.skeleton`` file.

    The format is one number of frames; per frame a number of bodies; per body ten numbers, of
    which the first names it, then the number of joints, 25, and twelve numbers for each.
    Blank lines and Windows line ends are ignored; a file of frames without a body is right.
    Of the numbers that are not kept only the characters are checked. Time and memory grow
    linearly with the text.

    Args:
        text (bytes): The content.
        name (str, optional): What errors call it. (default: :obj:`"text"`)
        columns (int, optional): As in :func:`read_skeleton`. (default: :obj:`3`)

    Raises:
        DamagedDataError: If the text is empty, truncated, not numeric, has another number of
            joints or bodies than it says, a body twice in a frame, or positions that are not
            finite; the message names the line.
        ValueError: If :obj:`columns` is not between 1 and 12.

    Example:
        >>> from graphkit.datasets.skeletons.ntu.raw import parse_skeleton
        >>> joints = "\n".join(f"{i} 0 2.5" + " 0" * 9 for i in range(25))
        >>> clip = parse_skeleton(f"1\n1\n7 0 1 1 1 1 0 0 0 2\n25\n{joints}\n".encode())
        >>> clip.bodies, clip.joints.shape, clip.joints[0, 24].tolist()
        (('7',), (1, 25, 3), [24.0, 0.0, 2.5])
    """
    if not 1 <= columns <= JOINT:
        raise ValueError(f"'columns' must be between 1 and {JOINT}, got {columns}")
    layout = Layout(text)
    if not layout.fits or not PLAIN[layout.raw].all():
        walk(text, name)
    if not layout.fits:
        raise DamagedDataError(f"'{name}' is not in the .skeleton format")
    values = layout.values(columns)
    labels = layout.labels()
    digits = all(label.isdigit() for label in labels)
    if values is None or not (digits and within(values[:, :3])):
        walk(text, name)
        raise DamagedDataError(f"'{name}' holds text between its numbers")
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    frame = np.repeat(np.arange(len(layout.bodies)), layout.bodies)
    body = np.array([number[label] for label in labels], dtype=np.int64)
    if len(np.unique(frame * (len(number) + 1) + body)) < len(body):
        walk(text, name)
    with np.errstate(over="ignore"):
        joints = values.reshape(-1, NUM_JOINTS, columns).astype(np.float32)
    return RawSkeleton(len(layout.bodies), tuple(number), frame, body, joints)


class Layout:
    """Where the numbers of a text are, and whether its lines have the right lengths.

    ``bodies`` holds the number of bodies of each frame, ``fits`` whether lines, frames, bodies
    and joints are as many as the text says.
    """

    def __init__(self, text: bytes) -> None:
        self.text, self.raw = text, np.frombuffer(text, np.uint8)
        blank = np.append(True, self.raw <= 32)
        self.starts = np.flatnonzero(blank[:-1] & ~blank[1:])
        ends = np.append(np.flatnonzero(self.raw == 10), len(text))
        last = np.searchsorted(self.starts, ends)
        widths = np.diff(last, prepend=0)
        self.first = (last - widths)[widths > 0]
        self.widths, self.ends = widths[widths > 0], ends[widths > 0]
        self.records = np.flatnonzero(self.widths == BODY)
        self.bodies = np.zeros(0, dtype=np.int64)
        self.fits = self.measure()

    def measure(self) -> bool:
        """Compares the lengths of all lines with what the single numbers say."""
        lines, records = len(self.widths), self.records
        if lines == 0 or (len(records) and records[-1] + RECORD > lines):
            return False
        inside = records[:, None] + np.arange(1, RECORD)
        if not (self.widths[inside] == [1, *[JOINT] * NUM_JOINTS]).all():
            return False
        outside = np.ones(lines, dtype=bool)
        outside[records] = False
        outside[inside] = False
        heads = np.flatnonzero(outside)
        joints, counts = self.integers(records + 1), self.integers(heads)
        if not len(counts) or not (self.widths[heads] == 1).all() or (counts < 0).any():
            return False
        self.bodies = counts[1:]
        spans = np.diff(np.searchsorted(records, heads), append=len(records))
        return (
            counts[0] == len(self.bodies)
            and bool((joints == NUM_JOINTS).all())
            and spans[0] == 0
            and bool((spans[1:] == self.bodies).all())
        )

    def integers(self, lines: np.ndarray) -> np.ndarray:
        """The first number of some lines; -1 where it is none."""
        words = self.words(lines)
        right = [word.isdigit() and len(word) <= DIGITS for word in words]
        pairs = zip(words, right, strict=True)
        return np.array([int(word) if whole else -1 for word, whole in pairs], int)

    def words(self, lines: np.ndarray, columns: int = 1) -> list[bytes]:
        """The first words of some lines."""
        begin = self.starts[self.first[lines]]
        after = np.append(self.starts, len(self.text))[self.first[lines] + columns]
        end = np.minimum(after, self.ends[lines])
        text = self.text
        pairs = zip(begin.tolist(), end.tolist(), strict=True)
        return [text[start:stop].rstrip() for start, stop in pairs]

    def labels(self) -> list[str]:
        """The names of the bodies, exactly as they are written."""
        return [word.decode("latin-1") for word in self.words(self.records)]

    def values(self, columns: int) -> np.ndarray | None:
        """The leading numbers of every joint; nothing if one is no number."""
        lines = (self.records[:, None] + np.arange(2, RECORD)).ravel()
        about = numbers(self.words(self.records, BODY), BODY)
        return None if about is None else numbers(self.words(lines, columns), columns)


def numbers(words: list[bytes], columns: int) -> np.ndarray | None:
    """A table of numbers from as many of them per piece of text; nothing if one is no number."""
    if not words:
        return np.zeros((0, columns))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(b" ".join(words), sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    return values.reshape(-1, columns) if values.size == len(words) * columns else None


def walk(text: bytes, name: str) -> None:
    """Goes through the text line by line and raises at the first one that is wrong."""
    rows = [
        (number, line.decode("latin-1").split())
        for number, line in enumerate(text.split(b"\n"), 1)
        if line.strip()
    ]
    lines = Lines(name, rows)
    for frame in range(lines.count("the number of frames")):
        seen = set()
        for body in range(lines.count(f"the number of bodies of frame {frame}")):
            where = f"body {body} of frame {frame}"
            label = lines.numbers(BODY, f"{BODY} numbers about {where}")[0]
            if not label.isdigit():
                lines.fail(f"the name of {where} is {label!r}, expected digits")
            if label in seen:
                lines.fail(f"body '{label}' is in frame {frame} twice")
            seen.add(label)
            if lines.count(f"the number of joints of {where}") != NUM_JOINTS:
                lines.fail(f"{where} must have {NUM_JOINTS} joints")
            for joint in range(NUM_JOINTS):
                fields = lines.numbers(JOINT, f"{JOINT} numbers of joint {joint} of {where}")
                if not within(np.array(fields[:3], dtype=float)):
                    lines.fail(f"joint {joint} of {where} is at {' '.join(fields[:3])}")
    lines.finish()


class Lines:
    """The words of a text, taken line by line, with errors that name the line."""

    def __init__(self, name: str, rows: list[tuple[int, list[str]]]) -> None:
        self.name, self.rows, self.position = name, rows, 0

    def fail(self, what: str) -> None:
        """Raises an error about the line that was taken last."""
        number = self.rows[self.position - 1][0] if self.rows else 1
        raise DamagedDataError(f"'{self.name}', line {number}: {what}")

    def take(self, what: str) -> list[str]:
        """The words of the next line."""
        if self.position == len(self.rows):
            self.fail(f"the file ends here, but {what} should follow")
        self.position += 1
        return self.rows[self.position - 1][1]

    def count(self, what: str) -> int:
        """A line of one natural number."""
        words = self.take(what)
        number = words[0] if len(words) == 1 else ""
        if not (number.isascii() and number.isdigit() and len(number) <= DIGITS):
            self.fail(f"expected {what}, got {' '.join(words)[:60]!r}")
        return int(words[0])

    def numbers(self, width: int, what: str) -> list[str]:
        """The words of a line of so many numbers."""
        words = self.take(what)
        if len(words) != width:
            self.fail(f"expected {what}, got {len(words)} words: {' '.join(words)[:60]!r}")
        for word in words:
            if not is_number(word):
                self.fail(f"expected {what}, got {word!r}")
        return words

    def finish(self) -> None:
        """Raises unless all lines were taken."""
        if self.position < len(self.rows):
            self.position += 1
            self.fail("nothing should follow the last frame")


def within(values: np.ndarray) -> bool:
    """Whether all values are finite in single precision."""
    return bool((np.abs(values) <= np.finfo(np.float32).max).all())


def is_number(word: str) -> bool:
    """Whether Python reads a number there, ``nan`` and ``inf`` included."""
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word
