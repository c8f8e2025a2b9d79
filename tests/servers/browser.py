"""Headless Chromium, driven over a pipe by the DevTools protocol, as a reader would use it."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NODE_MODULES = Path(__file__).parents[2] / ".venv" / "npm" / "node_modules"

# What a key press is made of: key, code, virtual key code, text.
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
}


class Browser:
    """One page of a running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.requests: list[str] = []  # everything that the page asked for
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        said: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            said["sessionId"] = self._session
        os.write(self._commands, json.dumps(said).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]

    def wait_for(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = self._answers.read(65_536)
            assert piece, "the browser has gone"
            self._rest += piece
        one, _, self._rest = self._rest.partition(b"\0")
        heard = json.loads(one)
        if heard.get("method") == "Network.requestWillBeSent":
            self.requests.append(heard["params"]["request"]["url"])
        return heard

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def become(self, width: int, height: int, *, dark: bool = False, zoom: float = 1) -> None:
        """A screen of a size in CSS pixels, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 * zoom, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def speak(self, language: str) -> None:
        self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})

    def press(self, key: str) -> None:
        code, number, text = _KEYS[key]
        name = " " if key == "Space" else key
        common = {"key": name, "code": code, "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def value(self, expression: str) -> Any:
        asked = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in asked, asked
        return asked["result"].get("value")

    def violations(self) -> list[str]:
        """What axe-core finds on the page, or cannot tell."""
        self.value((NODE_MODULES / "axe-core" / "axe.min.js").read_text(encoding="utf-8") + ";0")
        found = self.value("axe.run({resultTypes: ['violations']})")
        assert found["passes"]
        return [
            f"{rule['id']}: {node['html'][:200]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def printed(self) -> bytes:
        """The page as a PDF on A4, as its own style sheet prints it."""
        made = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(made["data"])

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """Run it until the block is left, with a profile of its own in a folder."""
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    program = [
        shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu",
        "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}",
        "--disable-dev-shm-usage", "--no-first-run", "about:blank",
    ]  # fmt: skip
    # The browser reads commands from file 3 and writes answers to file 4.
    wrapped = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *program]
    running = subprocess.Popen(
        wrapped,
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    browser = None
    try:
        browser = Browser(commands, answers)
        yield browser
    finally:
        if browser:
            browser._session = None
            with suppress(AssertionError, OSError):
                browser.call("Browser.close")
            browser._answers.close()
        os.close(commands)
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
