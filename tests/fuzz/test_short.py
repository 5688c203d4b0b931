"""A short campaign for CI, and proofs that the campaign sees what it looks for."""

import json
import time

import pytest

from graphkit.datasets import DamagedDataError
from tests.fuzz import campaign
from tests.fuzz.campaign import input_of, run, table
from tests.fuzz.registry import Parser, all_parsers

PARSERS = all_parsers()
COUNT = 25


@pytest.mark.parametrize("name", PARSERS)
def test_nothing_but_what_is_documented_is_raised(name):
    outcome = run(PARSERS[name], range(COUNT), seed=1)
    assert outcome.inputs == COUNT
    assert not outcome.faults, "\n".join(outcome.traces.values())


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_changed_was_right(name, tmp_path):
    for number, content in enumerate(PARSERS[name].seeds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        PARSERS[name].parse(content, folder)


def planted(parse, *documented):
    return Parser("planted", parse, lambda: [b'{"a": 1}', b"[1, 2]"], documented)


def test_other_exceptions_are_seen():
    outcome = run(planted(lambda content, _: json.loads(content)["a"], ValueError), range(300), 0)
    kinds = {key.split()[0] for key in outcome.faults}
    assert {"TypeError", "KeyError"} <= kinds
    assert outcome.refused["JSONDecodeError"] > 0
    assert outcome.accepted > 0
    assert "TypeError" in table({"planted": outcome})


def test_slow_inputs_are_seen_and_stopped(monkeypatch):
    monkeypatch.setattr(campaign, "SLOWEST", 0.05)
    monkeypatch.setattr(campaign, "PATIENCE", 0.1)

    def sleep(content, _):
        if b"a" not in content:
            time.sleep(60)
        until = campaign.processor_seconds() + 0.07
        while content[:1] == b"{" and campaign.processor_seconds() < until:
            pass

    outcome = run(planted(sleep), range(10), 0)
    assert outcome.inputs == 10
    assert outcome.faults["took over 0 s"]


def test_inputs_are_the_same_in_every_run():
    parser = planted(lambda *_: None, DamagedDataError)
    inputs = [input_of(parser, list(parser.seeds()), 3, number) for number in range(50)]
    again = [input_of(parser, list(parser.seeds()), 3, number) for number in range(50)]
    assert inputs == again
    assert len(set(inputs)) > 40
    assert inputs != [input_of(parser, list(parser.seeds()), 4, number) for number in range(50)]
