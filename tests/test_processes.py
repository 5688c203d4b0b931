"""Processes of tests are as fresh as they need to be, and end as they say."""

import os
import signal

from tests import processes

PROGRAM = """
import os, sys
print(sys.argv[1:], os.environ.get("GIVEN"), os.environ.get("TAKEN"), flush=True)
print([name for name in sys.modules if name.startswith("graphkit")])
print("complaint", file=sys.stderr)
sys.exit(3)
"""


def test_a_process_gets_words_and_variables_and_gives_its_output(monkeypatch):
    monkeypatch.setenv("TAKEN", "here")
    done = processes.run(PROGRAM, "one", 2, env={"GIVEN": "yes", "TAKEN": None})
    assert done.stdout == "['one', '2'] yes None\n[]\n"
    assert done.stderr == "complaint\n"
    assert done.returncode == 3


def test_an_error_is_shown():
    done = processes.run("raise ValueError('planted')")
    assert done.returncode == 1
    assert "ValueError: planted" in done.stderr


def test_a_process_is_killed_while_it_works():
    process = processes.Process("import time\nprint('on', flush=True)\ntime.sleep(600)")
    assert process.stdout.readline() == "on\n"
    assert process.poll() is None
    assert process.pid != os.getpid()
    process.kill()
    assert process.wait().returncode == -signal.SIGKILL
