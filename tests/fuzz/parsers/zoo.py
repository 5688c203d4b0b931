"""What protocols of transfer and of factors read: images, networks, rankings, two sets of PyG's."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.protocols import factor_benchmarks, taskonomy_ranking
from benchmarks.zoo import graph_zoo
from benchmarks.zoo.images import image_zoo, tasks
from graphkit.datasets import DamagedDataError, MissingDataError
from tests.benchmarks.test_factor_benchmarks import write_pattern, write_zinc
from tests.fuzz.parsers.reading import arrays, named, put, put_all
from tests.fuzz.parsers.sampling import files_of, npy
from tests.fuzz.registry import parser

RNG = np.random.default_rng(0)


def at(folder: Path, *modules: Any) -> ExitStack:
    """Data and cache folders of some modules are this one, for the length of a block."""
    stack = ExitStack()
    for module in modules:
        for name in ("data_root", "cache_root"):
            if hasattr(module, name):
                stack.enter_context(mock.patch.object(module, name, return_value=folder))
        if hasattr(module, "mark"):
            stack.enter_context(mock.patch.object(module, "mark", return_value="mark"))
    return stack


def use_pool(domain: str, folder: Path) -> None:
    """The images of a domain, and the tasks on them."""
    with at(folder, tasks), named(folder):
        pool = tasks.load_pool.__wrapped__(domain)
    for place, rule in tasks.TASKS.values():
        if place == domain:
            x, y = tasks.labelled(pool.train, pool.train_y, rule)
            assert len(x) == len(y)
            assert y.dtype == torch.int64


@cache
def pool() -> list[bytes]:
    values = {"train": RNG.integers(0, 256, (4, 3, 28, 28), np.uint8), "train_y": np.arange(4)}
    return [arrays(**values, test=values["train"], test_y=np.arange(4))]


@parser(pool, DamagedDataError, inside="zip")
def zoo_pool(content: bytes, folder: Path) -> None:
    """Images that were kept in the cache folder."""
    put(folder, "zoo/digits.npz", content)
    use_pool("digits", folder)


def afresh(domain: str, folder: Path) -> None:
    """Images out of the published files."""
    (folder / "zoo" / f"{domain}.npz").unlink(missing_ok=True)
    use_pool(domain, folder)


@cache
def digits() -> list[bytes]:
    x, y = RNG.integers(0, 256, (10, 28, 28), np.uint8), np.arange(10, dtype=np.uint8)
    return [arrays(x_train=x, y_train=y, x_test=x, y_test=y)]


@parser(digits, DamagedDataError, inside="zip")
def zoo_digits(content: bytes, folder: Path) -> None:
    put(folder, tasks.FILES["digits"][0], content)
    afresh("digits", folder)


def picture(size: int, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (size, size, 3), np.uint8)).save(buffer, form)
    return buffer.getvalue()


@cache
def objects() -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part in ("train", "test"):
            for name in tasks.OBJECTS:
                image, member = picture(32, "JPEG"), tarfile.TarInfo(f"a/{part}/{name}/1.jpg")
                member.size = len(image)
                archive.addfile(member, io.BytesIO(image))
    return [gzip.compress(buffer.getvalue(), 1, mtime=0)]


@parser(objects, DamagedDataError, inside="gzip")
def zoo_objects(content: bytes, folder: Path) -> None:
    put(folder, tasks.FILES["objects"][0], content)
    afresh("objects", folder)


@cache
def letters() -> list[bytes]:
    buffer, image = io.BytesIO(), picture(35, "PNG")
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1, 17):
            archive.writestr(f"images/Greek/character01/{number:02}.png", image)
    return [buffer.getvalue()]


@parser(letters, DamagedDataError, inside="zip")
def zoo_letters(content: bytes, folder: Path) -> None:
    for name in tasks.FILES["letters"]:
        put(folder, name, content)
    afresh("letters", folder)


def state(make: Callable[[], nn.Module]) -> bytes:
    buffer = io.BytesIO()
    torch.save(make().state_dict(), buffer)
    return buffer.getvalue()


def small() -> nn.Module:
    return image_zoo.networks.build(0, 3)


@cache
def graph_states() -> list[bytes]:
    return [state(lambda: graph_zoo.untrained("Cora-links"))]


@parser(graph_states, DamagedDataError, inside="zip")
def zoo_graph_network(content: bytes, folder: Path) -> None:
    put(folder, "zoo/graphs/mark/Cora-links.pt", content)
    with at(folder, graph_zoo), named(folder):
        model = graph_zoo.pretrained("Cora-links")
    assert model(torch.ones(2, graph_zoo.WIDTH), torch.tensor([[0], [1]])).shape[0] == 2


@cache
def image_states() -> list[bytes]:
    return [state(small)]


@parser(image_states, DamagedDataError, inside="zip")
def zoo_image_network(content: bytes, folder: Path) -> None:
    put(folder, "zoo/images/mark/digits.pt", content)
    fresh = mock.patch.object(image_zoo, "untrained", return_value=small())
    with at(folder, image_zoo), fresh, named(folder):
        model = image_zoo.pretrained("digits")
    assert model(torch.ones(1, 3, 28, 28)).shape == (1, 3)


@parser(lambda: [npy((np.arange(20) + np.arange(18)[:, None]) % 20)], DamagedDataError)
def taskonomy_order(content: bytes, folder: Path) -> None:
    put(folder, taskonomy_ranking.RANKING, content)
    with at(folder, taskonomy_ranking), named(folder):
        assert int(taskonomy_ranking.load().isnan().sum()) == 18


FEW = taskonomy_ranking.TASKS[:4]


@cache
def attributions() -> dict[str, bytes]:
    """Maps and features of a user, of four probes and as many tasks."""
    shapes = {"maps": (4, 3), "features": (4, 2)}
    pairs = [(task, kind) for task in FEW for kind in shapes]
    return {f"{task}.{kind}.npy": npy(RNG.normal(size=shapes[kind])) for task, kind in pairs}


def register_attributions(file: str, name: str) -> None:
    def parse(content: bytes, folder: Path) -> None:
        put_all(folder, attributions(), file, content)
        with mock.patch.object(taskonomy_ranking, "TASKS", FEW), named(folder):
            scores = taskonomy_ranking.methods(folder, torch.tensor([0, 3]), 0.25, True)
        assert all(score.shape == (2, 4) for score in scores.values())

    parser(lambda: [attributions()[file]], DamagedDataError, name=name)(parse)


register_attributions(f"{FEW[2]}.maps.npy", "taskonomy_maps")
register_attributions(f"{FEW[2]}.features.npy", "taskonomy_features")


@cache
def benchmark(name: str) -> dict[str, bytes]:
    return files_of({"ZINC": write_zinc, "PATTERN": write_pattern}[name])


def register_benchmark(name: str, file: str, about: str, inside: str = "") -> None:
    path = f"{name}/raw/{file}"

    def parse(content: bytes, folder: Path) -> None:
        put_all(folder, benchmark(name), path, content)
        shutil.rmtree(folder / "processed", ignore_errors=True)
        places = {"GRAPHKIT_DATA": str(folder), "GRAPHKIT_CACHE": str(folder)}
        # One part is given: all three are read and made for it.
        one = mock.patch.object(factor_benchmarks, "SPLITS", ("val",))
        quiet = redirect_stderr(io.StringIO())
        with mock.patch.dict(os.environ, places), one, quiet, named(folder):
            assert len(factor_benchmarks.load(name)) == 1

    documented = (DamagedDataError, MissingDataError)
    parser(lambda: [benchmark(name)[path]], *documented, name=about, inside=inside)(parse)


register_benchmark("ZINC", "val.pickle", "zinc_molecules")
register_benchmark("ZINC", "val.index", "zinc_index")
register_benchmark("PATTERN", "PATTERN_v2.pt", "pattern", "zip")
