"""What a run keeps: no two runs mix, damage is seen, one process writes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.harness import recipe as recipes
from benchmarks.harness import runner, states
from benchmarks.harness.progress import Display
from benchmarks.harness.runner import Options, run_recipe
from tests.processes import Process

RECIPE = recipes.load("gcn-karate").set(["train.epochs=2"])
FACTS = {"settings": "s", "launch": "{}", "code": "c", "data": "d"}


def run(out: Path, resume: bool = False, launch: dict[str, str] | None = None) -> dict:
    with Display(1, quiet=True) as display:
        return run_recipe(RECIPE, Options(1, out, resume, None, launch or {}), display)


@pytest.mark.parametrize(("name", "words"), states.WORDS.items())
def test_resuming_names_what_does_not_fit(tmp_path: Path, name: str, words: str) -> None:
    states.state_folder(tmp_path, "mine", FACTS, resume=False, leads=True)
    assert states.state_folder(tmp_path, "mine", FACTS, resume=True, leads=True).is_dir()
    with pytest.raises(ValueError, match=f"'mine' with {words}; give the same"):
        states.state_folder(tmp_path, "mine", FACTS | {name: "x"}, resume=True, leads=True)
    # What is there stays as it was, for the one whose it is.
    assert states.read(tmp_path / "mine" / "settings") == FACTS


def test_a_kill_while_an_old_run_is_deleted_leaves_no_seed_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = states.state_folder(tmp_path, "mine", FACTS, resume=False, leads=True)
    states.write(folder / "seed-0.json", {"metrics": {"accuracy": 0.5}})
    # Folders are deleted in any order: here a kill comes when the mark is gone, and no more.
    other = FACTS | {"code": "other"}

    def killed(path: Path, *_: object) -> None:
        (path / "settings").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(states.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            states.state_folder(tmp_path, "mine", other, resume=False, leads=True)
    folder = states.state_folder(tmp_path, "mine", other, resume=True, leads=True)
    assert [path.name for path in folder.iterdir()] == ["settings"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_another_precision_and_other_code_are_no_continuation(tmp_path: Path, monkeypatch) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match="another precision"):
        run(tmp_path, resume=True, launch={"precision": "bf16-mixed"})
    monkeypatch.setattr(runner, "code_of", lambda recipe: "another")
    with pytest.raises(ValueError, match="other code"):
        run(tmp_path, resume=True)


def test_files_of_a_data_set_tell_a_run_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    graph, names = tmp_path / "graph.pt", (str(tmp_path / "graph.pt"), "~/graph.pt")
    graph.write_bytes(b"one")
    before = [states.data_of(name, None) for name in names]
    graph.write_bytes(b"two")
    after = [states.data_of(name, None) for name in names]
    assert not set(before) & set(after)
    assert states.data_of(str(tmp_path / "none.pt"), None) == "-"
    assert states.data_of("", None) == "-"


def test_every_cut_and_flipped_bit_of_a_finished_seed_is_seen(tmp_path: Path) -> None:
    whole = run(tmp_path)["metrics"]
    (seed,) = tmp_path.glob("state/*/seed-0.json")
    written, draw = seed.read_bytes(), random.Random(0)
    assert run(tmp_path, resume=True)["metrics"] == whole
    spoiled = [written[:length] for length in range(len(written))]
    for place in range(len(written)):
        flipped = bytearray(written)
        flipped[place] ^= 1 << draw.randrange(8)
        spoiled.append(bytes(flipped))
    for content in spoiled:
        seed.write_bytes(content)
        with pytest.raises(ValueError, match=r"seed-0\.json' is damaged"):
            states.read(seed)
    with pytest.raises(ValueError, match=r"seed-0\.json' is damaged"):
        run(tmp_path, resume=True)


HOLD = """
import sys, time
from pathlib import Path
from benchmarks.harness.states import only_writer
with only_writer(Path(sys.argv[1]), "gcn-karate", True):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_writes_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    process = Process(HOLD, str(tmp_path / "state"))
    assert process.stdout.readline().strip() == "held"
    with pytest.raises(ValueError, match=f"process {process.pid} is running 'gcn-karate'"):
        run(tmp_path)
    process.kill()
    process.wait()
    assert run(tmp_path)["seeds"] == [0]
