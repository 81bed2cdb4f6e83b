"""Real headless Chromium on the gateway's page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SEEN_WITHIN = 30.0  # seconds for the page to show something
FLAGS = (  # what works in a closed network, and leaves nothing behind
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
HEARD, ALLOWED = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"


class Screen:
    """One page, as a person uses it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What stands there, seen or not, with single spaces."""
        return " ".join((self.find(selector).get_property("textContent") or "").split())

    def until(self, selector: str, *wanted: str, within: float = SEEN_WITHIN) -> str:
        """The text there, once it has all that is wanted."""
        seen = ""

        def has(_: object) -> bool:
            nonlocal seen
            seen = self.text(selector)
            return bool(seen) and all(part in seen for part in wanted)

        try:
            WebDriverWait(self.driver, within, poll_frequency=0.05).until(has)
        except Exception as exc:
            raise AssertionError(f"{selector}: {seen!r} instead of {wanted}") from exc
        return seen

    def hold(self, selector: str, until: str) -> None:
        """Hold a button until its label says so."""
        button = self.find(selector)
        ActionChains(self.driver).click_and_hold(button).perform()
        self.until(selector, until)
        ActionChains(self.driver).release().perform()

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def media(self, **features: str) -> None:
        """Prefer other colours and the like."""
        told = [{"name": name.replace("_", "-"), "value": v} for name, v in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": told})

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": scale,
            "mobile": width < 500,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def faults(self, axe: Path) -> list[str]:
        """What axe-core finds."""
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe.read_text()})
        found = self.driver.execute_async_script(
            "axe.run().then(r => arguments[0](JSON.stringify(r.violations)))"
        )
        return [
            f"{fault['id']}: {node['html'][:120]} {node.get('failureSummary', '')}"
            for fault in json.loads(found)
            for node in fault["nodes"]
        ]

    def complaints(self) -> list[str]:
        """Errors that the browser's console told of: a broken policy, a script's fault."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]


@contextmanager
def chromium(folder: Path, flags: Sequence[str] = (HEARD, ALLOWED)) -> Iterator[Screen]:
    """A browser with a profile of its own in `folder`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={folder}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_script_timeout(SEEN_WITHIN)
        yield Screen(driver)
    finally:
        driver.quit()
