import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from graphkit.datasets import DamagedDataError, MissingDataError, mnist, omniglot


def write_mnist(root, **changes):
    (root / "MNIST").mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    arrays = {
        f"{kind}_{part}": generator.integers(0, high, size=(count, *shape), dtype=np.uint8)
        for part, count in (("train", 7), ("test", 5))
        for kind, high, shape in (("x", 256, (28, 28)), ("y", 10, ()))
    }
    np.savez_compressed(root / "MNIST" / "mnist.npz", **{**arrays, **changes})
    return arrays


def png(ink):
    buffer = io.BytesIO()
    Image.fromarray(~ink).save(buffer, "PNG")
    return buffer.getvalue()


def write_omniglot(root, side=105):
    (root / "omniglot").mkdir(exist_ok=True)
    ink = np.zeros((side, side), dtype=bool)
    ink[:15] = True
    for part in ("small1", "small2"):
        path = root / "omniglot" / f"images_background_{part}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for alphabet, characters in (("Latin", 2), ("Greek", 1)):
                for number in range(characters):
                    for person in range(3):
                        name = f"{alphabet}/character{number:02}/{number}_{person}.png"
                        archive.writestr(f"images_background_{part}/{name}", png(ink))


@pytest.mark.usefixtures("cache")
def test_digits_are_scaled(root):
    arrays = write_mnist(root)
    x, y = mnist("test")
    assert x.shape == (5, 1, 28, 28)
    assert torch.equal((x[:, 0] * 255).round().byte(), torch.from_numpy(arrays["x_test"]))
    assert y.tolist() == arrays["y_test"].tolist()
    assert len(mnist()[1]) == 7


@pytest.mark.usefixtures("cache")
def test_damaged_digits_are_named(root):
    write_mnist(root, x_test=np.zeros((5, 27, 28), dtype=np.uint8))
    with pytest.raises(DamagedDataError, match="x_test"):
        mnist("test")
    (root / "MNIST" / "mnist.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DamagedDataError, match=r"mnist\.npz"):
        mnist()
    with pytest.raises(ValueError, match="part"):
        mnist("val")


@pytest.mark.usefixtures("cache")
def test_characters_are_grouped_by_alphabet(root):
    write_omniglot(root)
    found = omniglot("small2", size=7)
    assert found.x.shape == (9, 1, 7, 7)
    assert found.alphabets == ("Greek", "Latin")
    assert found.alphabet.tolist() == [0, 1, 1]
    assert found.drawer.tolist() == [0, 1, 2] * 3
    assert found.y.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert torch.equal(found.x[0, 0, :, 0], torch.tensor([1.0, 0, 0, 0, 0, 0, 0]))


@pytest.mark.usefixtures("cache")
def test_damaged_characters_are_named(root):
    write_omniglot(root, side=100)
    with pytest.raises(DamagedDataError, match="100"):
        omniglot()
    path = root / "omniglot" / "images_background_small1.zip"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DamagedDataError, match="small1"):
        omniglot()
    with pytest.raises(ValueError, match="part"):
        omniglot("small3")
    with pytest.raises(ValueError, match="size"):
        omniglot(size=0)


@pytest.mark.usefixtures("root")
def test_missing_files_are_named():
    with pytest.raises(MissingDataError, match="MNIST"):
        mnist()
    with pytest.raises(MissingDataError, match="omniglot"):
        omniglot()


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_the_real_sets_have_their_published_counts():
    x, y = mnist("test")
    assert x.shape == (10_000, 1, 28, 28)
    assert y.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    characters = omniglot("small1")
    assert characters.y.bincount().tolist() == [20] * 136
    assert len(characters.alphabets) == 5
