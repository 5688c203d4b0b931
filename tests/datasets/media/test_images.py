import io
import zipfile
import zlib

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
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_images_in_0_to_1_are_taken_as_they_are(root, dtype):
    images = np.linspace(0, 1, 5 * 28 * 28).reshape(5, 28, 28).astype(dtype)
    write_mnist(root, x_test=images)
    assert np.array_equal(mnist("test")[0][:, 0].numpy(), images.astype(np.float32))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_black_and_white_stays_so(root, dtype):
    """As 0 and 1, whole numbers or not: divided by 255 it would be black."""
    images = np.random.default_rng(0).random((5, 28, 28)) > 0.5
    write_mnist(root, x_test=images.astype(dtype))
    assert np.array_equal(mnist("test")[0][:, 0].numpy(), images.astype(np.float32))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint16])
def test_images_up_to_255_are_scaled_whatever_their_type(root, dtype):
    arrays = write_mnist(root)
    wanted = mnist("test")[0]
    write_mnist(root, x_test=arrays["x_test"].astype(dtype), y_test=arrays["y_test"].astype(float))
    x, y = mnist("test")
    assert torch.equal(x, wanted)
    assert y.tolist() == arrays["y_test"].tolist()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    "changes",
    [
        {"x_test": np.full((5, 28, 28), np.nan)},
        {"x_test": np.full((5, 28, 28), np.inf)},
        {"x_test": np.full((5, 28, 28), -1)},
        {"x_test": np.full((5, 28, 28), 1.0001)},
        {"x_test": np.zeros((0, 28, 28)), "y_test": np.zeros(0)},
        {"x_test": np.full((5, 28, 28), 256)},
        {"x_test": np.full((5, 28, 28), "a")},
        {"x_test": np.full((5, 28, 28), None)},
        {"y_test": np.full(5, 10)},
        {"y_test": np.full(5, -1)},
        {"y_test": np.full(5, 0.5)},
        {"y_test": np.full(5, np.nan)},
        {"y_test": np.full((5, 1), 1)},
    ],
)
def test_numbers_that_are_no_images_or_digits_are_named(root, changes):
    write_mnist(root, **changes)
    with pytest.raises(DamagedDataError, match=r"mnist\.npz"):
        mnist("test")


@pytest.mark.usefixtures("cache")
def test_a_page_of_the_web_leads_to_no_unsafe_advice(root):
    write_mnist(root)
    (root / "MNIST" / "mnist.npz").write_text("<!DOCTYPE html>\n<html>Not found</html>")
    with pytest.raises(DamagedDataError, match="a web page") as caught:
        mnist()
    assert "pickle" not in str(caught.value)


def rewritten(root, rename, *, more=()):
    """The first archive with its members renamed, and further ones."""
    path = root / "omniglot" / "images_background_small1.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(rename(name), content)
        for name, content in more:
            archive.writestr(name, content)


DEPTHS = {
    "none": lambda name: name.split("/", 1)[1],
    "two": lambda name: f"data/{name}",
    "five": lambda name: f"a/b/c/d/{name}",
    "capitals": lambda name: name.replace(".png", ".PNG"),
    "backslashes": lambda name: name.replace("/", "\\"),
}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("depth", DEPTHS)
def test_folders_above_the_alphabets_do_not_matter(root, depth):
    write_omniglot(root)
    wanted = omniglot("small1", size=7)
    hidden = "__MACOSX/images_background_small1/Latin/character00/._0_0.png"
    strays = [(hidden, b"\0\5\x16\7"), ("x/Latin/character00/._0_1.png", b""), ("README.txt", b"")]
    rewritten(root, DEPTHS[depth], more=strays)
    found = omniglot("small1", size=7)
    assert found.alphabets == wanted.alphabets
    for field in ("x", "y", "alphabet", "drawer"):
        assert torch.equal(getattr(found, field), getattr(wanted, field))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_drawings_of_any_mode_are_the_same_ink(root, mode):
    """Saved anew by other programs, grey at the edges, or on nothing."""
    write_omniglot(root)
    wanted = omniglot("small1", size=7).x
    path = root / "omniglot" / "images_background_small1.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            image = Image.open(io.BytesIO(content)).convert("L")
            grey = image.point(lambda shade: 20 + shade * 220 // 255)
            if mode == "LA":
                # Nothing where there is no ink, whatever colour nothing has.
                grey, alpha = Image.new("L", image.size), image.point(lambda shade: 255 - shade)
                grey.putalpha(alpha)
            grey.convert(mode).save(buffer := io.BytesIO(), "PNG")
            archive.writestr(name, buffer.getvalue())
    assert torch.equal(omniglot("small1", size=7).x, wanted)


@pytest.mark.usefixtures("cache")
def test_archives_of_another_make_are_named(root):
    write_omniglot(root)
    rewritten(root, lambda name: name.split("/", 1)[1].replace("/", "_"))
    with pytest.raises(DamagedDataError, match="in no folder of a character"):
        omniglot()
    write_omniglot(root)
    twice = [("copy/Latin/character00/0_0.png", png(np.zeros((105, 105), dtype=bool)))]
    rewritten(root, lambda name: name, more=twice)
    with pytest.raises(DamagedDataError, match="the same drawing"):
        omniglot()
    write_omniglot(root)
    rewritten(root, lambda name: name, more=[("a/Latin/character00/9_9.png", huge_png())])
    with pytest.raises(DamagedDataError, match=r"9_9\.png"):
        omniglot()
    write_omniglot(root)
    long = "9" * 20
    rewritten(root, lambda name: name.replace("_2.png", f"_{long}.png"))
    with pytest.raises(DamagedDataError, match=rf"0_{long}\.png.*is too large"):
        omniglot()


def huge_png():
    """A header of ten thousand million pixels."""
    content = bytearray(png(np.zeros((1, 1), dtype=bool)))
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


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
