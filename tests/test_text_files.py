import numpy as np
import pytest

from graphkit.datasets import DamagedDataError
from graphkit.text_files import (
    decode,
    json_of,
    number_of,
    read_json,
    read_table,
    read_text,
    rows_of,
    table_of,
)

TABLE = [[1, 2], [3, 4]]
SPELLINGS = {
    "plain": b"1, 2\n3, 4\n",
    "no newline at the end": b"1, 2\n3, 4",
    "Windows": b"1, 2\r\n3, 4\r\n",
    "old Macintosh": b"1, 2\r3, 4\r",
    "byte order mark": b"\xef\xbb\xbf1, 2\n3, 4\n",
    "UTF-16": "1, 2\n3, 4\n".encode("utf-16"),
    "tabs": b"1\t2\n3\t4\n",
    "tabs behind commas": b"1,\t2\t\n3,\t4\n",
    "blanks": b"  1  2\n3 4  \n",
    "blank lines": b"\n1, 2\n\n   \n3, 4\n\n\n",
    "fractions that are whole": b"1.0, 2\n3, 4e0\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_table_however_it_is_spelt(tmp_path, spelling):
    path = tmp_path / "a.txt"
    path.write_bytes(SPELLINGS[spelling])
    table = read_table(path, 2, whole=True)
    assert table.dtype == np.int64
    assert table.tolist() == TABLE


FAULTS = {
    b"": "it is empty",
    b"\n \n": "it is empty",
    b"1, 2\n3\n": "line 2: 1 numbers, expected 2",
    b"1, 2\n\n3, 4, 5\n": "line 3: 3 numbers, expected 2",
    b"1, 2\n3,\n": "line 2: '' is no finite number",
    b"1, 2\nx, 4\n": "line 2: 'x' is no finite number",
    b"1, 2\n1_0, 4\n": "line 2: '1_0' is no finite number",
    b"1, nan\n": "line 1: 'nan' is no finite number",
    b"1, 2\n3, 1e999\n": "line 2: '1e999' is no finite number",
    b"1, 2\n3, 4.5\n": "line 2: '4.5' is no whole number",
    b"1, 2\n3, 99999999999999999999\n": "line 2: '9+' is no whole number in range",
    b"1, 2\n3, \0\0\0": "line 2: zero bytes",
    b"1, 2\n\xff, 4\n": "line 2: .* in UTF-8",
    b"# 1, 2\n": "line 1: '# 1' is no finite number",
}


@pytest.mark.parametrize("content", FAULTS)
def test_faults_name_file_and_line(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DamagedDataError, match=FAULTS[content]) as caught:
        read_table(path, 2, whole=True)
    assert str(path) in str(caught.value)


def test_fractions_are_read_to_the_last_digit(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 3))
    path = tmp_path / "a.txt"
    path.write_text("\n".join(",".join(map(repr, row)) for row in values.tolist()))
    assert np.array_equal(read_table(path), values)


@pytest.mark.parametrize("text", ["[" * 100_000, "[NaN]", "[1e999]", "[1,", "", "\0\0"])
def test_json_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DamagedDataError, match=r"a\.json"):
        read_json(path)


def test_whole_numbers_of_json_have_64_bits(tmp_path):
    path = tmp_path / "a.json"
    bounds = [2**63 - 1, -(2**63)]
    path.write_text(str(bounds))
    assert read_json(path) == bounds
    for number in (2**63, -(2**63) - 1, 10**25, "9" * 5000):
        path.write_text(f'[{{"id": {number}}}]')
        with pytest.raises(DamagedDataError, match=r"a\.json.*is too large"):
            read_json(path)


def test_json_with_a_name_twice_is_named(tmp_path):
    """Python keeps the last value and says nothing of the first."""
    path = tmp_path / "a.json"
    path.write_text('{"b": [{"a": 1, "c": 2, "a": 3}]}')
    with pytest.raises(DamagedDataError, match=r"a\.json.*'a' stands twice"):
        read_json(path)


def test_json_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5]}\r\n')
    assert read_json(path) == {"a": [1, 2.5]}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DamagedDataError, match="No such file"):
        read_text(tmp_path / "absent.txt")


@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_are_those_that_fractions_hold_exactly(sign):
    largest = sign * (2**53 - 1)
    assert table_of(f"1 {largest}", whole=True).tolist() == [[1, largest]]
    for wrong in (sign * 2**53, f"{sign}.5"):
        with pytest.raises(ValueError, match=f"line 2: '{wrong}' is no whole number in range"):
            table_of(f"1\n{wrong}", whole=True)
    assert table_of(f"{sign}.5").tolist() == [[sign * 1.5]]
    assert table_of("3.0 4", whole=True).dtype == np.int64


def test_nan_is_allowed_on_request_alone():
    assert np.isnan(table_of("1 nan", finite=False)[0, 1])
    for options in ({}, {"whole": True}, {"whole": True, "finite": False}):
        with pytest.raises(ValueError, match="'nan' is no finite number"):
            table_of("1 nan", **options)
    assert table_of("1 2\n3 4", 2).shape == (2, 2)
    assert table_of("1\n2").shape == (2, 1)
    with pytest.raises(ValueError, match="line 1: 2 numbers, expected 3"):
        table_of("1 2", 3)


def test_long_words_are_cut():
    for length, shown in ((40, "x" * 40), (41, "x" * 40)):
        with pytest.raises(ValueError, match=rf"line 1: '{shown}' is no"):
            table_of("x" * length)
    with pytest.raises(ValueError, match=f"the name '{'y' * 40}' stands twice"):
        json_of(f'{{"{"y" * 50}": 1, "{"y" * 50}": 2}}')


def test_words_of_lines():
    text = "a b\n\n c,\td \n,\n"
    assert rows_of(text) == [(1, ["a", "b"]), (3, ["c", "d"]), (4, ["", ""])]


def test_lines_of_faults_are_counted_from_one():
    for content, message in (
        (b"\0", "line 1: zero bytes"),
        (b"a\nb\n\0", "line 3: zero bytes"),
        (b"\xff", "line 1: .* in UTF-8"),
        (b"a\nb\xff", "line 2: .* in UTF-8"),
    ):
        with pytest.raises(ValueError, match=message):
            decode(content)
    for order in ("utf-16-le", "utf-16-be"):
        assert decode(("\ufeffä\r\nb\rc").encode(order)) == "ä\nb\nc"


@pytest.mark.parametrize(
    ("word", "value"),
    [("1e3", 1000.0), ("-.5", -0.5), ("inf", np.inf), ("1_0", None), ("", None), ("a", None)],
)
def test_words_that_are_numbers(word, value):
    assert number_of(word) == value
