import pytest

from graphkit.scaffold.exports import add_export, read_exports

INIT = '''"""Layers."""

from graphkit.nn.conv.foo_conv import FooConv

__all__ = ["FooConv"]
'''


def test_order_and_wrapping_are_the_formatters(tmp_path):
    init = tmp_path / "__init__.py"
    init.write_text(INIT)
    add_export(init, "graphkit.nn.conv.a_conv", "BarConv")
    add_export(init, "graphkit.nn.conv.a_conv", "BAR")
    add_export(init, "graphkit.nn.conv.a_conv", "bar")
    add_export(init, "graphkit.nn.conv.a_conv", "bar")
    assert init.read_text() == INIT.replace(
        "from graphkit.nn.conv.foo",
        "from graphkit.nn.conv.a_conv import BAR, BarConv, bar\nfrom graphkit.nn.conv.foo",
    ).replace('["FooConv"]', '["BAR", "BarConv", "FooConv", "bar"]')


def test_members_are_sorted_regardless_of_case_and_exports_are_not(tmp_path):
    init = tmp_path / "__init__.py"
    init.write_text(INIT)
    for name in ("STGCNpp", "SceneEncoder", "STGCN"):
        add_export(init, "graphkit.nn.models", name)
    text = init.read_text()
    assert "import STGCN, SceneEncoder, STGCNpp\n" in text
    assert text.index('"STGCN"') < text.index('"FooConv"') < text.index('"STGCNpp"')
    assert text.index('"STGCNpp"') < text.index('"SceneEncoder"')


def test_long_lists_have_a_name_a_line(tmp_path):
    init = tmp_path / "__init__.py"
    init.write_text(INIT)
    names = [f"VeryLongNameOfALayer{number}Conv" for number in range(4)]
    for name in names:
        add_export(init, "graphkit.nn.conv.long_conv", name)
    text = init.read_text()
    assert "from graphkit.nn.conv.long_conv import (\n    VeryLongNameOfALayer0Conv,\n" in text
    assert '__all__ = [\n    "FooConv",\n    "VeryLongNameOfALayer0Conv",\n' in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert read_exports(init)[1] == {"FooConv", *names}


def test_more_than_exports_is_refused(tmp_path):
    init = tmp_path / "__init__.py"
    init.write_text(INIT + "\nx = 1\n")
    with pytest.raises(ValueError, match="more than imports"):
        add_export(init, "a", "B")
    assert init.read_text() == INIT + "\nx = 1\n"
