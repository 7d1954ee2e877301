"""The Firefox of this machine, driven over WebDriver BiDi, which it speaks by itself."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import orjson
from websockets.sync.client import ClientConnection, connect

_LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_STARTING_S = 60.0
_ANSWER_S = 40.0
PREFERENCES = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
"""


def path_of_firefox() -> str | None:
    """Return where it is, None where there is none."""
    return next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)


class Tab:
    """One tab; what goes wrong in it collects in `wrong`, the addresses that it asks for in `asked`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._context = ""
        self.wrong: list[str] = []
        self.asked: list[str] = []

    def open(self, *, width: int, height: int) -> None:
        """Begin a session with one tab of that size."""
        self.command("session.new", {"capabilities": {}})
        self._context = self.command("browsingContext.getTree", {})["contexts"][0]["context"]
        self.command("session.subscribe", {"events": ["log.entryAdded", "network.beforeRequestSent"]})
        viewport = {"width": width, "height": height}
        self.command("browsingContext.setViewport", {"context": self._context, "viewport": viewport})

    def goto(self, url: str) -> None:
        """Go to an address and wait until it has loaded."""
        self.command("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})

    def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression is, promises waited for; it must be a string, number, bool or null."""
        target = {"context": self._context}
        given = {"expression": expression, "target": target, "awaitPromise": True}
        answer = self.command("script.evaluate", given)
        if answer["type"] != "success":
            raise AssertionError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def wait_for(self, condition: str, patience_s: float = 30.0) -> None:
        """Wait until a JavaScript condition is true; also where the page goes on to another one meanwhile."""
        deadline_s = time.monotonic() + patience_s
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline_s, f"{condition} within {patience_s} s"

    def command(self, method: str, parameters: dict[str, Any]) -> Any:
        """Send one BiDi command and return its result; events that come meanwhile are kept."""
        number = next(self._ids)
        self._connection.send(orjson.dumps({"id": number, "method": method, "params": parameters}).decode())
        while True:
            message = orjson.loads(self._connection.recv(timeout=_ANSWER_S))
            if message["type"] == "event":
                self._keep(message["method"], message["params"])
            elif message.get("id") == number:
                if message["type"] == "error":
                    raise AssertionError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]

    def _keep(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "network.beforeRequestSent":
            self.asked.append(parameters["request"]["url"])
        elif parameters["level"] in ("warn", "error"):
            self.wrong.append(parameters["text"] or "")


@contextmanager
def firefox(profile: Path, *, width: int = 1440, height: int = 900) -> Iterator[Tab]:
    """Start it without a window and with a profile of its own, and end it."""
    path = path_of_firefox()
    assert path is not None
    profile.mkdir()
    (profile / "user.js").write_text(PREFERENCES, encoding="utf-8")
    command = [path, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(profile)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        with connect(f"{_address(process)}/session", max_size=None) as connection:
            tab = Tab(connection)
            tab.open(width=width, height=height)
            yield tab
    finally:
        process.terminate()
        process.wait(20)


def _address(process: subprocess.Popen[str]) -> str:
    """Return where it listens, as it says itself; what it says after that is read and let go."""
    said: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                if (found := _LISTENING.search(line)) is not None:
                    said.put(found[1])

    threading.Thread(target=read, daemon=True).start()
    try:
        return said.get(timeout=_STARTING_S)
    except Empty:
        raise AssertionError("firefox never said where it listens") from None
