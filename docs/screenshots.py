"""The README's screenshots of report and site, by headless Chromium: ``python -m docs.screenshots`` after ``make site``."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DOCS = Path(__file__).parent
SITE = DOCS / "_build" / "html"
PICTURES = DOCS / "images"
SHOTS = {
    "report": ("comparisons", "recall.html", 860),
    "site": ("html", "papers/hopfield.html", 1850),
}
"""The folder, the page and the height of each picture."""
WIDTH, SCALE = 1180, 1.15


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Keep the terminal clean."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on 127.0.0.1 at a free port; gives its address, which ends in a slash."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def chromium() -> str | None:
    """Where Chromium is, or None."""
    return next((at for name in ("chromium", "chromium-browser", "google-chrome") if (at := shutil.which(name))), None)


def main() -> None:
    """Take the pictures."""
    from playwright.sync_api import sync_playwright

    if chromium() is None:
        sys.exit("There is no Chromium on this machine (Debian: apt-get install chromium).")
    if not (SITE / "index.html").exists():
        sys.exit("There is no site yet: run make site.")
    folders = {"comparisons": DOCS / "site" / "comparisons", "html": SITE}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for name, (folder, page_name, height) in SHOTS.items():
            with served(folders[folder]) as address:
                page = browser.new_page(viewport={"width": WIDTH, "height": height}, device_scale_factor=SCALE)
                page.goto(address + page_name)
                page.wait_for_load_state("networkidle")
                path = PICTURES / f"{name}.png"
                page.screenshot(path=path)
                print(f"Screenshot: {path} ({path.stat().st_size / 1000:.0f} kB)")
        browser.close()


if __name__ == "__main__":
    main()
