"""The picture of the lab in README: `surefoot lab` opened in Chromium -> docs/pictures/lab.png, looked at before it is committed."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

STATE = "race=lr:0.01;lr:0.7"
SIZE = {"width": 1440, "height": 840}
SHOWN = "() => document.querySelectorAll('.pane-map canvas').length > 0 && !document.body.innerText.includes('Computing')"


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium here: the picture of the lab stays as it is.")
    command = [Path(sys.executable).with_name("surefoot"), "lab", "--no-browser", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        lab = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        try:
            assert lab.stdout is not None
            said = ""
            while "}" not in said:
                said += lab.stdout.readline()
            draw(json.loads(said)["url"], chromium, Path(__file__).with_name("pictures") / "lab.png")
        finally:
            lab.send_signal(signal.SIGINT)
            lab.wait()


def draw(url: str, chromium: str, path: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
        page.goto(f"{url}#{STATE}")
        page.wait_for_function(SHOWN, timeout=120_000)
        page.wait_for_timeout(3000)  # the verdict is measured last
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()
