"""The dataset suite on PyG's sets and a toy set with raw files, and on one fault per check."""

import atexit
import random
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.datasets import FakeDataset, KarateClub

from graphkit.testing import DatasetSuite
from tests.testing.faults import FaultList

FOLDER = TemporaryDirectory()
atexit.register(FOLDER.cleanup)
RAW = Path(FOLDER.name)
FILE, LENGTH = "numbers.txt", 12
(RAW / FILE).write_text("3 1 4 1 5 9 2 6 5 3 5 8\n")


class Numbers(InMemoryDataset):
    """A chain of numbers read from a text file, processed under a cache folder."""

    def __init__(self, cache: Path, raw: Path = RAW) -> None:
        self.source = raw
        super().__init__(str(cache))
        self.load(self.processed_paths[0])

    @property
    def processed_file_names(self):
        return ["numbers.pt"]

    def read(self, content):
        """The words of the file."""
        return content.decode("utf-8-sig").split()

    def check(self, words):
        """Whether all of them are there."""
        if len(words) != LENGTH:
            raise ValueError(f"{FILE} is cut off")

    def process(self):
        words = self.read((self.source / FILE).read_bytes())
        self.check(words)
        try:
            x = torch.tensor([float(word) for word in words])
        except ValueError as error:
            raise ValueError(f"{FILE}: {error}") from error
        step = torch.arange(len(x) - 1)
        data = Data(x=x[:, None], edge_index=torch.stack([step, step + 1]), y=(x > 4).long())
        for start, name in enumerate(("train_mask", "val_mask", "test_mask")):
            data[name] = torch.arange(len(x)) % 3 == start
        self.spoil(data)
        try:
            self.save([data], self.processed_paths[0])
        except OSError as error:
            self.complain(error)

    def complain(self, error):
        """The disk is full."""
        Path(self.processed_paths[0]).unlink()
        raise OSError(f"cannot write to '{self.root}': {error.strerror}") from error

    def spoil(self, data):
        """Where faults are planted."""


class NumbersSuite(DatasetSuite):
    def make(self, cache):
        return Numbers(cache, self.raw_root())

    def raw_root(self):
        return RAW


class TestNumbers(NumbersSuite):
    """A sound set with raw files passes."""


class TestKarateClub(DatasetSuite):
    """PyG's embedded club passes what it claims."""

    not_claimed = {
        "splits": "one training mask and nothing else",
        "raw_untouched": "embedded, no raw files",
    }

    def make(self, cache):
        return KarateClub()

    def raw_root(self):
        return None


def suite_of(kind: type) -> type[DatasetSuite]:
    def make(self, cache):
        return kind(cache, self.raw_root())

    return type(f"{kind.__name__}Suite", (NumbersSuite,), {"make": make})


FAULTS = FaultList(suite_of)


@FAULTS.caught_by("valid")
class PointsOutside(Numbers):
    def spoil(self, data):
        data.edge_index = data.edge_index + 1


@FAULTS.caught_by("valid")
class NotFinite(Numbers):
    def spoil(self, data):
        data.x = data.x / 0


@FAULTS.caught_by("valid")
class Empty(Numbers):
    def len(self):
        return 0


@FAULTS.caught_by("labels")
class NegativeLabels(Numbers):
    def spoil(self, data):
        data.y = data.y - 1


@FAULTS.caught_by("deterministic")
class DrawsFeatures(Numbers):
    def spoil(self, data):
        data.x = torch.rand_like(data.x)


@FAULTS.caught_by("deterministic")
class ForeignRandomness(Numbers):
    def spoil(self, data):
        data.x = data.x * random.SystemRandom().random()


@FAULTS.caught_by("access_is_pure")
class HandsOutItself(Numbers):
    kept = None

    def __getitem__(self, index):
        self.kept = super().__getitem__(index) if self.kept is None else self.kept
        return self.kept


@FAULTS.caught_by("splits")
class OverlappingParts(Numbers):
    def spoil(self, data):
        data.test_mask = data.test_mask | data.train_mask


@FAULTS.caught_by("splits")
class NothingToTest(Numbers):
    def spoil(self, data):
        data.test_mask = data.test_mask & False


@FAULTS.caught_by("batches")
class CannotBatch(Numbers):
    def __getitem__(self, index):
        data = super().__getitem__(index)
        data.num_nodes = 99
        return [data]


@FAULTS.caught_by("pickle")
class HoldsAFunction(Numbers):
    def __init__(self, cache, raw):
        super().__init__(cache, raw)
        self.scale = lambda x: x


@FAULTS.caught_by("raw_untouched")
class ProcessesIntoRaw(Numbers):
    def spoil(self, data):
        torch.save(data.x, RAW / "numbers.pt")


@FAULTS.caught_by("offline")
class Downloads(Numbers):
    def spoil(self, data):
        with socket.socket() as line:
            line.settimeout(0.1)
            line.connect(("127.0.0.1", 9))


@FAULTS.caught_by("stray_files")
class CountsNeighbours(Numbers):
    def spoil(self, data):
        data.x = data.x + len(list(self.source.iterdir()))


@FAULTS.caught_by("last_newline")
class LosesWhatNoNewlineEnds(Numbers):
    def read(self, content):
        return super().read(content[:-1] + b"0" * (not content.endswith(b"\n")))


@FAULTS.caught_by("line_ends")
class MindsCarriageReturns(Numbers):
    def read(self, content):
        return super().read(content.replace(b"8\r", b"88"))


@FAULTS.caught_by("byte_order_mark")
class TakesTheMarkForANumber(Numbers):
    def read(self, content):
        return super().read(content.replace(b"\xef\xbb\xbf", b"1"))


@FAULTS.caught_by("byte_order_mark")
class RefusesTheMark(Numbers):
    def read(self, content):
        return content.decode().split()


@FAULTS.caught_by("holes")
class TakesZerosForNumbers(Numbers):
    def read(self, content):
        return super().read(content.replace(b"\0\0", b"0 "))


@FAULTS.caught_by("holes")
class NamesNoFile(Numbers):
    def check(self, words):
        if any("\0" in word for word in words):
            raise ValueError("what is this?")


@FAULTS.caught_by("cut_files")
class TakesWhatIsThere(Numbers):
    def check(self, words):
        """Any number of words is right."""


@FAULTS.caught_by("long_numbers")
class TakesAnyNumberForSmall(Numbers):
    def check(self, words):
        super().check(words)
        torch.tensor([int(word) for word in words if word.isdecimal()], dtype=torch.long)


@FAULTS.caught_by("full_disk")
class BlamesTheFile(Numbers):
    def complain(self, error):
        raise OSError(f"cannot read {FILE} into {self.root}: get the file anew") from error


@FAULTS.caught_by("full_disk")
class NamesNoCache(Numbers):
    def complain(self, error):
        raise error


@FAULTS.caught_by("full_disk")
class LeavesHalfAFile(Numbers):
    def complain(self, error):
        # The first one may yet be written to when Python lets go of it.
        Path(self.processed_paths[0]).unlink()
        Path(self.processed_paths[0]).touch()
        raise OSError(f"cannot write to '{self.root}'") from error


def test_sets_that_read_elsewhere_say_so():
    """A suite whose make() has a folder of its own is skipped, not passed."""

    class Elsewhere(NumbersSuite):
        def make(self, cache):
            return Numbers(cache)

    for name in ("stray_files", "last_newline", "holes", "cut_files", "long_numbers"):
        with pytest.raises(pytest.skip.Exception, match="does not ask raw_root"):
            Elsewhere.check(name)()


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)


def test_every_check_has_a_fault():
    assert FAULTS.unproven(DatasetSuite) == set()


def test_undrawn_random_sets_are_seen():
    """PyG's FakeDataset draws from Python's random numbers, which no torch seed fixes."""

    class Fake(DatasetSuite):
        def make(self, cache):
            return FakeDataset(num_graphs=2, avg_num_nodes=10)

        def raw_root(self):
            return None

    with pytest.raises(AssertionError, match="differs"):
        Fake.check("deterministic")()
