"""Starting a command: its streams, its exit code, its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drmviz.recorder.launch import Command, CommandNotStartedError

LAUNCHER = """
import os, sys
from drmviz.recorder.launch import Command
with Command(sys.argv[1:], environment={"GIVEN": "yes"}) as child:
    os.write(1, b"started\\n")
    code = child.wait()
os.write(1, b"code %d\\n" % code)
"""


def launch(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(("does", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_exit_code_is_the_one_a_shell_would_give(does: str, code: int) -> None:
    with Command(["/bin/sh", "-c", does]) as child:
        assert child.wait(30) == code
        assert child.wait(0) == code


def test_waiting_gives_up_after_its_time_and_can_be_called_again() -> None:
    with Command(["sleep", "30"]) as child:
        assert child.wait(0.01) is None
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(30) == 137


def test_a_command_that_cannot_start_has_the_code_of_env(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("no program")

    with pytest.raises(CommandNotStartedError, match="no such command") as missing:
        Command(["drmviz-does-not-exist"])
    with pytest.raises(CommandNotStartedError, match="permission denied") as refused:
        Command([str(plain)])

    assert (missing.value.exit_code, refused.value.exit_code) == (127, 126)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_command_has_our_streams_and_more_environment() -> None:
    launcher = launch("/bin/sh", "-c", 'read line; echo "$line $GIVEN"; echo bad >&2')
    output, errors = launcher.communicate("hello\n", timeout=30)

    assert sorted(output.splitlines()) == ["code 0", "hello yes", "started"]
    assert errors == "bad\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_us_alone_is_passed_on(number: signal.Signals) -> None:
    launcher = launch(sys.executable, "-c", "import os, signal; os.write(1, b'up\\n'); signal.pause()")
    assert launcher.stdout is not None
    assert [launcher.stdout.readline().strip() for _ in range(2)] in (["started", "up"], ["up", "started"])

    launcher.send_signal(number)
    output, _ = launcher.communicate(timeout=30)

    assert output == f"code {128 + number}\n"


def test_an_interrupt_from_the_terminal_is_for_the_command() -> None:
    program = "import os, signal\ntry: os.write(1, b'up\\n'), signal.pause()\nexcept KeyboardInterrupt: os._exit(42)"
    launcher = launch(sys.executable, "-c", program)
    assert launcher.stdout is not None
    for _ in range(2):
        launcher.stdout.readline()

    os.killpg(launcher.pid, signal.SIGINT)
    output, errors = launcher.communicate(timeout=30)

    assert output == "code 42\n"
    assert errors == ""
