"""Opens every page of the built site in a browser without a window.

``python docs/check.py build/docs --shots build/shots`` names every link inside the site that leads
nowhere, every error on a page's console, and every page that is wider than a screen of 400 or 1400
pixels. It needs Chromium (``apt-get install chromium``) and the extra ``docs``, and no network.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

from playwright.sync_api import sync_playwright

WIDTHS = (400, 1400)
SHOWN = ("index.html", "results.html", "speed.html", "generated/methods/DFAD.html")
"""Pages that are worth a picture."""
LINKS = "[...document.querySelectorAll('a[href]')].map(a => a.href)"
NAMES = "[...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name)"
# Wide parts may scroll by themselves; the page as a whole must not.
TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"
SORTED = """() => {
  const head = document.querySelector('article th[tabindex]');
  if (!head) return null;
  head.click();
  return head.getAttribute('aria-sort');
}"""


def check(site: Path, shots: Path | None, browser: Any) -> list[str]:
    """All faults, one line each."""
    faults: list[str] = []
    names: dict[str, set[str]] = {}
    links: dict[str, list[str]] = {}
    page = browser.new_page()
    pages = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
    where = [""]
    page.on("pageerror", lambda error: faults.append(f"{where[0]}: {error}"))
    page.on(
        "console",
        lambda said: faults.append(f"{where[0]}: {said.text}") if said.type == "error" else None,
    )
    page.on("requestfailed", lambda sent: faults.append(f"{where[0]}: no {sent.url}"))
    for name in pages:
        where[0] = name
        address = (site / name).as_uri()
        page.goto(address)
        names[address], links[name] = set(page.evaluate(NAMES)), page.evaluate(LINKS)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            over = page.evaluate(TOO_WIDE)
            if over > 0:
                faults.append(f"{name}: {over} pixels wider than a screen of {width}")
            if shots and name in SHOWN:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=shots / f"{Path(name).stem}-{width}.png")
        if name == "results.html" and page.evaluate(SORTED) != "ascending":
            faults.append(f"{name}: a click on a column's head does not sort by it")
    for name, targets in links.items():
        faults += [f"{name}: {fault}" for fault in map(broken(names), targets) if fault]
    return faults


def broken(names: dict[str, set[str]]) -> Any:
    """A function that says what is wrong with an address, or nothing."""

    def fault(address: str) -> str:
        place, mark = urldefrag(address)
        if not place.startswith("file:"):
            return ""
        if place in names:
            known = not mark or unquote(mark) in names[place]
            return "" if known else f"no '{unquote(mark)}' in {place.rpartition('/')[2]}"
        there = Path(unquote(place.removeprefix("file://"))).is_file()
        return "" if there else f"no page {place}"

    return fault


def main() -> int:
    """Words in, faults out; 1 if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("--shots", type=Path, help="folder for pictures of some pages")
    words = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is not here: apt-get install chromium", file=sys.stderr)
        return 2
    if not (words.site / "index.html").is_file():
        print(f"no site in {words.site}: python -m sphinx docs {words.site}", file=sys.stderr)
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        faults = check(words.site.resolve(), words.shots, browser)
        browser.close()
    print(*sorted(set(faults)), sep="\n")
    print(f"{len(set(faults))} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
