"""Changes to bytes, JSON and packed files, drawn from one generator."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

WORDS = (
    *(b"nan", b"NaN", b"inf", b"-Infinity", b"-1", b"0", b"1e999", b"1.5", b"-0", b"null", b"true"),
    *(b"9" * 30, b"-" + b"9" * 20, b"1_0", b"0x10", b"2147483648", b"9223372036854775808"),
    *(b"\0", b"\0" * 64, b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\n\n", b"\t", b" "),
    *(b",", b",,", b";", b":", b"#", b"#1", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b"[" * 2000),
    *(b"\xc2\xb2", b"\xd9\xa1", b"\xe2\x80\xa8", b"\xf0\x9f\x90\x91", b"a" * 5000),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.5, -0.0, 1e308, float("nan"), float("inf"), 10**30),
    *(2**31, 2**63, "", "a", "\0", "\ufeff", "1", "NaN", [], [[]], {}, {"a": 1}, [None], [1, 2, 3]),
)
DEEP = 3000
LONGEST = 200_000


def changed(seeds: Sequence[bytes], random: Random, inside: str = "") -> bytes:
    """One of the inputs with one to four changes."""
    content = random.choice(seeds)
    if inside and random.random() < 0.7:
        return repacked(content, seeds, random, inside)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        content = changed_once(content, seeds, random)
    return content[:LONGEST]


def changed_once(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """One change: to the JSON that it holds, or to its bytes."""
    if content[:1] in (b"{", b"[") and random.random() < 0.7:
        try:
            return json.dumps(changed_value(json.loads(content), random)).encode()
        except (ValueError, RecursionError):
            pass
    return random.choice(CHANGES)(content, seeds, random)


def span(content: bytes, random: Random, longest: int = 64) -> tuple[int, int]:
    """Begin and end of a random piece."""
    start = random.randint(0, len(content))
    return start, min(len(content), start + random.randint(0, longest))


def flip(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """One bit."""
    if not content:
        return content
    place = random.randrange(len(content))
    bit = bytes([content[place] ^ 1 << random.randrange(8)])
    return content[:place] + bit + content[place + 1 :]


def word(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """A word that parsers stumble over, in place of a piece or between two."""
    start, end = span(content, random, 8)
    end = start if random.random() < 0.5 else end
    return content[:start] + random.choice(WORDS) + content[end:]


def field(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """A word in place of one that blanks, commas or lines part."""
    start, _ = span(content, random)
    end = start
    parts = b" ,\t\r\n:\"'[]{}()"
    while start > 0 and content[start - 1] not in parts:
        start -= 1
    while end < len(content) and content[end] not in parts:
        end += 1
    return content[:start] + random.choice(WORDS) + content[end:]


def remove(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """A piece less."""
    start, end = span(content, random, random.choice((1, 8, 64, 4096)))
    return content[:start] + content[end:]


def repeat(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """A piece more than once."""
    start, end = span(content, random, random.choice((1, 8, 64, 4096)))
    return content[:end] + content[start:end] * random.randint(1, 3) + content[end:]


def cut(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """The beginning or the end alone."""
    place = random.randint(0, len(content))
    return content[:place] if random.random() < 0.8 else content[place:]


def hole(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """Zeros in place of a piece."""
    start, end = span(content, random, 4096)
    return content[:start] + bytes(end - start) + content[end:]


def splice(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """The beginning of one input and the end of another."""
    other = random.choice(seeds)
    return content[: random.randint(0, len(content))] + other[random.randint(0, len(other)) :]


def swap_lines(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """Two lines in each other's place, or one of them gone."""
    lines = content.split(b"\n")
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    if random.random() < 0.3:
        del lines[one]
    return b"\n".join(lines)


CHANGES = (flip, flip, word, word, field, field, remove, repeat, cut, hole, splice, swap_lines)


def changed_value(value: Any, random: Random) -> Any:
    """The same JSON with another value somewhere in it."""
    holder = [value]
    places: list[tuple[Any, Any]] = [(holder, 0)]
    for box, key in places:
        inner = box[key]
        # Large inputs are looked at in part: one change is one change.
        if len(places) < 5000 and isinstance(inner, list | dict):
            keys = range(len(inner)) if isinstance(inner, list) else list(inner)
            places += [(inner, inside) for inside in keys]
    box, key = random.choice(places)
    way = random.random()
    if way < 0.15 and box is not holder:
        del box[key]
    elif way < 0.25 and isinstance(box, dict):
        box[random.choice(("", "a", "objects", "label", str(key) + "s"))] = box.pop(key)
    elif way < 0.3:
        box[key] = deep(random.choice((DEEP, 10)))
    elif way < 0.4 and isinstance(box, list) and box is not holder:
        box.append(box[key])
    elif way < 0.5:
        other, there = random.choice(places)
        box[key] = json.loads(json.dumps(other[there])) if there in keys_of(other) else None
    else:
        box[key] = random.choice(VALUES)
    return holder[0]


def keys_of(box: Any) -> Any:
    """The keys of a list or a dictionary."""
    return range(len(box)) if isinstance(box, list) else box


def deep(times: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(min(times, 900)):
        value = [value]
    return value


def repacked(content: bytes, seeds: Sequence[bytes], random: Random, inside: str) -> bytes:
    """A packed file whose content is changed and whose checksums are right."""
    if inside == "gzip":
        return gzip.compress(changed_once(gzip.decompress(content), (b"1,2\n",), random), 1)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    place, way = random.randrange(len(members)), random.random()
    name, inner = members[place]
    if way < 0.7:
        members[place] = name, changed_once(inner, [body for _, body in members], random)
    elif way < 0.8:
        del members[place]
    elif way < 0.9:
        fresh = changed_once(name.encode(), [b"a/b/c_1.png"], random)
        members[place] = fresh.decode("latin-1").replace("\0", "_")[:200] or "_", inner
    else:
        members.append((f"{random.choice('ab')}/{name}", inner))
    buffer = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, inner in dict(members).items():
            archive.writestr(name, inner)
    return buffer.getvalue()


def checksum(content: bytes) -> int:
    """A number that tells two inputs apart."""
    return zlib.crc32(content)
