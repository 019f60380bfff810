"""A headless Chromium that tests drive, without a package or a port.

It is spoken to in the DevTools protocol over a pipe (`--remote-debugging-pipe`): requests go to the
browser's file number 3, answers and events come from number 4, each a JSON text that ends with a
zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), "")  # its path, or ""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # other machines have no names
    "about:blank",
)


class Browser:
    """One tab. `events` has everything that the browser sent unasked, as (method, parameters)."""

    def __init__(self, writer: int, reader: int) -> None:
        self.writer, self.reader = writer, reader
        self.number, self.rest, self.session = 0, b"", ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append((answer.get("method", ""), answer.get("params", {})))

    def read(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            more = os.read(self.reader, 1 << 16)
            assert more, "the browser has ended"
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, url: str, width: int = 1200, theme: str = "light") -> None:
        """Show a page in a window of that width and a theme, and wait until it is loaded."""
        is_phone = width < 700
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=is_phone,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            message = self.read()
            self.events.append((message.get("method", ""), message.get("params", {})))

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def waits_for(self, script: str) -> bool:
        """Whether an expression becomes true within ten seconds."""
        for _ in range(100):
            if self.run(f"Boolean({script})"):
                return True
            self.run("new Promise(done => setTimeout(done, 100))")
        return False

    def requests(self) -> list[str]:
        """Addresses that the page requested, also those that its own policy blocked."""
        urls = [
            event["request"]["url"]
            for method, event in self.events
            if method == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Errors and warnings of the console."""
        found = [str(event) for method, event in self.events if method == "Runtime.exceptionThrown"]
        found += [
            f"{event['entry']['text']} {event['entry'].get('url', '')}".strip()
            for method, event in self.events
            if method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning")
        ]
        return found + [
            str(event["args"])
            for method, event in self.events
            if method == "Runtime.consoleAPICalled"
        ]

    def image(self, path: Path) -> None:
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with its own profile in the folder. It ends with the block."""
    read_there, write_here = os.pipe()
    read_here, write_there = os.pipe()

    def place() -> None:
        """Move the pipes to 3 and 4, where Chromium reads and writes."""
        # The ends of the second pipe were opened later, so neither of them can be 3 or 4.
        os.dup2(read_there, 3)
        os.dup2(write_there, 4)

    command = [CHROMIUM, f"--user-data-dir={folder / 'profile'}", *FLAGS]
    child = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=place, stderr=subprocess.DEVNULL)
    os.close(read_there)
    os.close(write_there)
    try:
        yield Browser(write_here, read_here)
    finally:
        child.kill()
        child.wait()
        os.close(write_here)
        os.close(read_here)
