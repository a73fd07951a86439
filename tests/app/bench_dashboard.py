"""How fast is the dashboard on a large store? Not a test: times depend on the machine.

    python tests/app/bench_dashboard.py            # makes a store of 2,000 cells and 2 million predictions, drives Chromium, prints seconds
    python tests/app/bench_dashboard.py --sessions 20 --pause 10    # 20 readers at once, who look at each page for about ten seconds

The browsers compute on this machine too, six times as much as the server: many sessions without a pause measure them.
Needs playwright and Chromium, as tests/app/test_browser.py does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.app.made_up import APP, add_cell

CELLS, ROWS = 2000, 1000
PAGES = ("Sample efficiency", "Compare models", "Cost and latency", "Backbones", "User explorer", "Data", "Runs", "Overview")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
FINISHED = "() => document.querySelector('[data-test-script-state=\"notRunning\"]') !== null"


def make_store(folder: Path) -> None:
    """A store of the size that the dashboard must bear."""
    from laser_core import datasets
    from laser_core.study.store import ResultStore
    from laser_core.systems import SYSTEMS

    dataset, store = datasets.load("movielens-small"), ResultStore(folder)
    shots = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, "all")
    for seed, system, n in itertools.islice(itertools.product(range(CELLS), SYSTEMS, shots), CELLS):
        add_cell(store, dataset, system, n, seed, 0.8, ROWS)


def settle(page) -> None:
    page.wait_for_selector("h1")
    page.wait_for_selector("[data-testid=stPageLink-NavLink]", state="attached")
    page.wait_for_function(FINISHED, polling=50)


def chromium(playwright):
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)


async def visits(address: str, sessions: int, pause: float = 0) -> list[float]:
    """Seconds of each page view of so many sessions at once, each with cookies and storage of its own, that walk through the pages.

    Between two views a session waits for `pause` seconds, at random between half and one and a half of it.
    """
    from playwright.async_api import async_playwright

    draw = random.Random(0)

    async def one(browser) -> list[float]:
        await asyncio.sleep(draw.uniform(0, pause))
        page = await (await browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
        page.set_default_timeout(300_000)
        seconds = []
        for title in (None, *PAGES):
            begun = time.perf_counter()
            if title is None:
                await page.goto(address)
            else:
                await page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
            heading = page.get_by_role("heading", level=1)
            await heading.filter(has_text=title if title not in (None, "Overview") else "Do large").wait_for()
            await page.wait_for_function(FINISHED, polling=50)
            seconds.append(time.perf_counter() - begun)
            await asyncio.sleep(pause * draw.uniform(0.5, 1.5))
        return seconds

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        return list(itertools.chain(*await asyncio.gather(*(one(browser) for _ in range(sessions)))))


def main() -> None:
    """Print the figures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="a store to use instead of making one")
    parser.add_argument("--sessions", type=int, default=0, help="so many sessions at once")
    parser.add_argument("--pause", type=float, default=0, help="seconds between two page views of a session, on average")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as free:
        folder = given.store or Path(scratch) / "runs"
        if not given.store:
            make_store(folder)
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
        free.close()
        address = f"http://localhost:{port}"
        environment = {**os.environ, "LASER_STORE": str(folder), "LASER_RECORDED": str(Path(scratch) / "none")}
        command = [sys.executable, str(APP / "serve.py"), str(port)]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=scratch)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                    break
                except OSError:
                    time.sleep(0.05)
            with sync_playwright() as playwright:
                page = chromium(playwright).new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(120_000)
                begun = time.perf_counter()
                page.goto(address)
                settle(page)
                print(f"first page: {time.perf_counter() - begun:.2f} s")
                for turn, title in itertools.product(("first", "again"), PAGES):
                    begun = time.perf_counter()
                    page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
                    page.get_by_role("heading", level=1).filter(has_text=title if title != "Overview" else "Do large").wait_for()
                    settle(page)
                    print(f"to {title}, {turn} time: {time.perf_counter() - begun:.2f} s")
                page.goto(f"{address}/compare")
                settle(page)
                for option in ("log loss", "accuracy", "AUC"):
                    page.get_by_label("Metric", exact=True).click()
                    begun = time.perf_counter()
                    page.get_by_role("option", name=option, exact=True).click()
                    page.get_by_text(f"test {option}").first.wait_for()
                    settle(page)
                    print(f"filter, {option}: {time.perf_counter() - begun:.2f} s")
            if given.sessions:
                seconds = sorted(asyncio.run(visits(address, given.sessions, given.pause)))
                middle = statistics.median(seconds)
                whole = f"{given.sessions} sessions, {len(seconds)} page views, pauses of {given.pause:g} s"
                print(f"{whole}: median {middle:.2f} s, slowest {seconds[-1]:.2f} s")
            used = psutil.Process(server.pid).cpu_times()
            print(f"the server took {used.user + used.system:.1f} CPU seconds in all; load average {os.getloadavg()[0]:.1f}")
            print(f"memory of the server: {psutil.Process(server.pid).memory_info().rss / 2**20:.0f} MB")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
