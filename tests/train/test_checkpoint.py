"""Checkpoints: atomic, complete, safe, and resumed bit for bit after SIGKILL."""

from __future__ import annotations

import random
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.files import replacing
from graphkit.train import NodeTask, Trainer, load_checkpoint, save_checkpoint
from graphkit.train.checkpoint import rng_state, seal, set_rng_state
from tests.processes import Process
from tests.train.problems import LinearGCN, ring


def test_generators_continue_where_they_were() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002

    state = rng_state()
    first = draw()
    set_rng_state(state)
    assert draw() == first


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint({"graphkit_checkpoint": 1, "value": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint({"graphkit_checkpoint": 1, "value": lambda: 0}, path)
    assert load_checkpoint(path)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("damage", ["truncated", "text", "foreign"])
def test_damaged_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint({"graphkit_checkpoint": 1, "value": torch.zeros(1000)}, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:600])
    elif damage == "text":
        path.write_text("not a checkpoint")
    else:
        torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"run\.pt"):
        load_checkpoint(path)


def sealed(path: Path, pickled: bytes) -> None:
    """A file that is whole by its checksum and holds other bytes where the pickle was."""
    with replacing(path) as file:
        torch.save({}, file)
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    with replacing(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, pickled if name.endswith("data.pkl") else content)
        seal(file)


# PyTorch raises on these: IndexError, struct.error, UnicodeDecodeError, KeyError, UnpicklingError.
RAISING = (b"e.", b"G\x00.", b"X\x01\x00\x00\x00\xff.", b"h\x07.", b"~")


@pytest.mark.parametrize("body", RAISING)
def test_whatever_a_foreign_file_makes_pytorch_raise_names_it(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "run.pt"
    sealed(path, b"\x80\x02" + body)
    with pytest.raises(ValueError, match=r"cannot read '.*run\.pt', a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("lost", ["settings", "rng", "run", "callbacks", "model", "optimizer"])
def test_a_checkpoint_of_another_kind_is_named(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "run.pt"

    def fit(resume: bool) -> None:
        model = LinearGCN()
        optimizer = torch.optim.Adam(model.parameters())
        trainer = Trainer(2, checkpoint=path, seed=1, progress=False, resume=resume)
        trainer.fit(model, optimizer, NodeTask(ring()))

    fit(resume=False)
    state = load_checkpoint(path)
    del state[lost]
    save_checkpoint(state, path)
    with pytest.raises(ValueError, match=r"run\.pt': .*use another checkpoint file"):
        fit(resume=True)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("run", "epoch"), 1.5, "counts of epochs"),
        (("run", "stage"), -1, "counts of epochs"),
        (("run", "best_value"), "0.5", "no numbers"),
        (("run", "history"), {}, "no list"),
        (("run", "history"), [{"val_loss": None}], "no numbers"),
        (("run", "best"), {"val_loss": True}, "no numbers"),
        (("run", "best_weights"), {"lin.bias": torch.zeros(4)}, "best weights 'lin.bias'"),
        (("run", "best_weights"), {"other": torch.zeros(4)}, "other"),
        (("settings", "epochs"), [2], "no numbers and words"),
        (("finished",), 1, "no numbers and words"),
    ],
)
def test_no_run_goes_on_from_what_no_run_wrote(tmp_path: Path, place, value, words: str) -> None:
    path = tmp_path / "run.pt"
    model = LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Trainer(1, checkpoint=path, progress=False).fit(model, optimizer, NodeTask(ring()))
    state = load_checkpoint(path)
    within = state if len(place) == 1 else state[place[0]]
    within[place[-1]] = value
    save_checkpoint(state, path)
    path.with_name("run.pt.previous").unlink(missing_ok=True)
    with pytest.raises(ValueError, match=rf"run\.pt', a checkpoint: .*{words}.*delete it"):
        Trainer(1, checkpoint=path, progress=False, resume=True).fit(
            model, optimizer, NodeTask(ring())
        )
    # A state of one's own may call its entries as it likes.
    save_checkpoint({"graphkit_checkpoint": 1, "run": 5}, path)
    assert load_checkpoint(path)["run"] == 5


def test_every_cut_and_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint({"graphkit_checkpoint": 1, "value": torch.arange(50)}, path)
    whole = path.read_bytes()
    assert torch.load(path, weights_only=True)["value"].sum() == 1225
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"run\.pt"):
            load_checkpoint(path)
    draw = random.Random(0)
    for place in (*draw.sample(range(len(whole)), 300), *range(len(whole) - 100, len(whole))):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << draw.randrange(8)
        path.write_bytes(spoiled)
        with pytest.raises(ValueError, match=r"run\.pt"):
            load_checkpoint(path)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(tmp_path: Path) -> None:
    def fit(resume: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = LinearGCN(dropout=0.5)
        optimizer = torch.optim.Adam(model.parameters())
        options = {"checkpoint": path, "checkpoint_seconds": 0, "resume": resume}
        Trainer(4, seed=1, progress=False, **options).fit(model, optimizer, NodeTask(ring()))
        return model.state_dict()

    path = tmp_path / "run.pt"
    whole = fit(resume=False)
    for file in (path, tmp_path / "run.pt.previous"):
        assert load_checkpoint(file)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"run\.pt' is a damaged.*going on from .*previous"):
        resumed = fit(resume=True)
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
    for file in (path, tmp_path / "run.pt.previous"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="delete it to start afresh"):
        load_checkpoint(path)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"

    def fit(**options: object) -> None:
        model = LinearGCN()
        optimizer = torch.optim.Adam(model.parameters())
        trainer = Trainer(checkpoint=path, seed=1, progress=False, **options)
        trainer.fit(model, optimizer, NodeTask(ring()))

    fit(epochs=3)
    with pytest.raises(ValueError, match="epochs=3, this run has epochs=4"):
        fit(epochs=4, resume=True)


SCRIPT = """
import sys, time, torch
from graphkit.train import Callback, NodeTask, Trainer, seed_everything
from tests.train.problems import LinearGCN, ring

class Again(Callback):
    def on_stage_end(self, run): return run.stage == 0
    def on_epoch_end(self, run):
        print(run.stage, run.epoch, flush=True)
        time.sleep(float(sys.argv[3]))

seed_everything(3)
model = LinearGCN(dropout=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
trainer = Trainer(12, patience=9, seed=3, callbacks=[Again()], checkpoint=sys.argv[1],
                  checkpoint_seconds=0, resume=True, progress=False)
result = trainer.fit(model, optimizer, NodeTask(ring()), scheduler)
torch.save({"weights": model.state_dict(), "metrics": result.metrics,
            "history": result.history}, sys.argv[2])
"""


def start(folder: Path, name: str, pause: float) -> Process:
    return Process(SCRIPT, f"{folder}/{name}.ckpt", f"{folder}/{name}.pt", pause)


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = start(tmp_path, "whole", 0.0)
    for stop_at in ("0 4", "1 3"):
        process = start(tmp_path, "killed", 0.05)
        for line in process.stdout:
            if line.strip() == stop_at:
                time.sleep(0.02)
                process.kill()
                break
        assert process.wait().returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.pt").exists()
    for process in (start(tmp_path, "killed", 0.0), whole):
        done = process.wait()
        assert done.returncode == 0, done.stderr
    one = torch.load(tmp_path / "whole.pt", weights_only=True)
    two = torch.load(tmp_path / "killed.pt", weights_only=True)
    assert one["metrics"] == two["metrics"]
    assert one["history"] == two["history"]
    for name, value in one["weights"].items():
        assert torch.equal(value, two["weights"][name])
