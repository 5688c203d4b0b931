"""Every function of ours that reads a file is called by a parser of the campaign."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.registry import all_parsers

ROOT = Path(__file__).parent.parent.parent
READERS = {
    *("reading", "read_json", "json_of", "read_tensors", "read_text", "read_table", "read_gzip"),
    *("read_rows", "open_zip", "read_zip", "read_arrays", "read_file", "read_pickle"),
    *("load_checkpoint", "read_bytes", "read_matlab"),
    *("np.load", "json.load", "json.loads", "torch.load", "Image.open", "yaml.load"),
    "yaml.safe_load",
}
OWN = "reads what this checkout or this process has written a moment ago"
EXCEPT = {
    "graphkit/testing/": "suites that damage files, and round trips of their own",
    "graphkit/scaffold/": OWN,
    "benchmarks/speed/": "children of a measurement, which read what their parent says",
    "benchmarks/report/report.py report": OWN,
    "benchmarks/harness/environment.py processor": "what the kernel says of the processor",
    "benchmarks/harness/fingerprint.py read": OWN,
    "benchmarks/harness/references.py hash_of": OWN,
    "graphkit/ops/cpu/kernels/compiling.py _digest": OWN,
    "graphkit/ops/cpu/kernels/sharing.py shared": OWN,
    "graphkit/datasets/store/in_place.py mend": OWN,
    "benchmarks/harness/recipe.py lines_of": "the lines of a file that 'recipe' has read",
    "benchmarks/harness/states.py data_of": "takes a hash of all bytes, whatever they are",
    "benchmarks/scale/growth.py run_undisturbed": "compares what 'growth_figures' reads",
    "graphkit/datasets/media/grid.py read": "decodes videos with PyAV, an extra",
    "graphkit/datasets/tox21.py process": "reads molecules with RDKit, an extra",
    "graphkit/datasets/skeletons/ntu/rgbd.py raw": "'ntu_raw' reads the same files",
}


def name_of(function: ast.expr) -> str:
    """What is called: a bare name, or that of an attribute with its module where it counts."""
    if isinstance(function, ast.Attribute):
        of = f"{function.value.id}." if isinstance(function.value, ast.Name) else ""
        return of + function.attr if of + function.attr in READERS else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def readers(tree: ast.AST, inside: tuple[int, str] = (0, "")) -> set[tuple[int, str]]:
    """First line and name of every function in which a reader is called."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        around = inside
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            above = [each.lineno for each in getattr(node, "decorator_list", [])]
            around = min([node.lineno, *above]), getattr(node, "name", "lambda")
        if isinstance(node, ast.Call) and name_of(node.func) in READERS:
            found.add(inside)
        found |= readers(node, around)
    return found


def called(tmp_path: Path) -> set[tuple[str, int]]:
    """File and first line of every function that the parsers call on what is right."""
    codes = set()

    def watch(frame, event, _):
        # Of modules and classes the whole body is one call: it is no sign of reading.
        if event == "call" and frame.f_code.co_flags & 1:
            codes.add(frame.f_code)

    for name, parser in all_parsers().items():
        seed, folder = parser.seeds()[0], tmp_path / name
        folder.mkdir()
        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            parser.parse(seed, folder)
        finally:
            sys.setprofile(before)
    return {(code.co_filename, code.co_firstlineno) for code in codes}


def test_every_reader_is_tried(tmp_path):
    seen, left, used = called(tmp_path), [], set()
    for room in ("graphkit", "benchmarks"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for line, function in readers(ast.parse(path.read_text())):
                place = f"{path.relative_to(ROOT)} {function}"
                excuse = {each for each in EXCEPT if place.startswith(each)}
                if (str(path), line) not in seen:
                    used |= excuse
                    left += [] if excuse else [place]
    if find_spec("pyarrow") is None:
        left = [place for place in left if not place.startswith("graphkit/sampling/disk/sources")]
    assert not left, "give it a parser in tests/fuzz/parsers"
    assert used == set(EXCEPT), "an exception that is none"


def test_readers_are_found_in_source():
    text = "f = lambda x: json.loads(x)\n\n@cache\ndef g(p):\n    with reading(p): p.stat()\n"
    text += "def h(x):\n    return x.loads(1), np.load_me(x)\nread_json(1)\n"
    assert readers(ast.parse(text)) == {(1, "lambda"), (3, "g"), (0, "")}
