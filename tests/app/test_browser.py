"""The dashboard in a real browser: every page loads without a fault, links and Back reproduce views, exports open.

Skipped where there is no playwright (extra `test`) or no Chromium (`apt-get install chromium`, or `playwright install chromium`).
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from tests.app.made_up import APP, add_cell, hostile_mapping, page_files

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
HOSTILE = "<img src=x onerror=alert(1)> **b** $x$ =1+1"
PROBES = ("_stcore/health", "_stcore/host-config")  # Streamlit tries them below a page's path first, and then at the root


def chromium(playwright) -> str | None:
    """A Chromium on this machine: the system's or playwright's own."""
    own = playwright.chromium.executable_path
    return shutil.which("chromium") or shutil.which("chromium-browser") or (own if Path(own).exists() else None)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        path = chromium(playwright)
        if path is None:
            pytest.skip("there is no Chromium on this machine")
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(made_store, small, tmp_path_factory):
    """The dashboard as `laser app` starts it, on a copy of the made-up store with hostile results and a hostile data set; its address."""
    from laser_core import datasets
    from laser_core.settings import get_settings
    from laser_core.study.store import ResultStore

    store = tmp_path_factory.mktemp("browser") / "runs"
    home = store.parent / "home"
    shutil.copytree(made_store, store)
    add_cell(ResultStore(store), small, "deepfm", 64, 0, 0.5, variant=HOSTILE, options={"name": HOSTILE})
    add_cell(ResultStore(store), small, "deepfm", 64, 1, 0.5, variant=HOSTILE, options={"name": HOSTILE}, failed=HOSTILE)
    home.mkdir()
    (home / "models").symlink_to(get_settings().home / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LASER_HOME", str(home))
        hostile = datasets.load(str(hostile_mapping(store.parent)))
    for system in ("history-lr", "laser-llm", "laser-crm"):
        for shots in (64, "all"):
            add_cell(ResultStore(store), hostile, system, shots, 0, 0.5, variant=HOSTILE, options={"item_text": "metadata"})
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "LASER_STORE": str(store), "LASER_RECORDED": str(store.parent / "recorded"), "LASER_HOME": str(home)}
    command = [sys.executable, str(APP / "serve.py"), str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=store.parent)
    address = f"http://localhost:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.25)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def page(browser, server):
    """A page that fails the test at the end if anything went wrong in the browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(90_000)  # for a busy machine; nothing here is timed
    trouble = []
    opened.on("pageerror", lambda error: trouble.append(f"uncaught: {error}"))
    opened.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.on("requestfailed", lambda request: trouble.append(f"no answer: {request.url}") if server not in request.url else None)
    opened.on(
        "response", lambda got: trouble.append(f"{got.status}: {got.url}") if got.status >= 400 and not got.url.endswith(PROBES) else None
    )
    opened.on(
        "console",
        lambda said: (
            trouble.append(f"console: {said.text}") if said.type == "error" and "Failed to load resource" not in said.text else None
        ),
    )
    yield opened
    context.close()
    assert not trouble


def settle(page) -> None:
    """Wait until the script has run to its end."""
    page.wait_for_selector("h1")
    page.wait_for_selector("[data-testid=stPageLink-NavLink]", state="attached")
    page.wait_for_function("() => document.querySelector('[data-test-script-state=\"notRunning\"]') !== null")


def pick(page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


@pytest.mark.parametrize("name", page_files())
def test_page_loads(name, page, server):
    from playwright.sync_api import expect

    page.goto(f"{server}/{'' if name == 'overview.py' else name.removesuffix('.py')}")
    settle(page)
    expect(page.get_by_test_id("stSidebar").get_by_test_id("stPageLink-NavLink")).to_have_count(len(page_files()))  # drawn a moment later
    assert page.get_by_test_id("stException").count() == 0
    assert page.locator("img:not([alt])").count() == 0


def test_a_link_reproduces_a_view_and_back_works(page, server):
    page.goto(f"{server}/efficiency")
    settle(page)
    pick(page, "Metric", "log loss")
    page.wait_for_url("**metric=log_loss*")
    pick(page, "Across", "seconds to fit")
    page.wait_for_url("**x=fit_seconds*")
    assert page.get_by_text("test log loss").count()
    link = page.url
    page.go_back()
    settle(page)
    page.wait_for_function("() => !location.search.includes('fit_seconds')")
    page.get_by_text("labelled samples fitted on").first.wait_for()
    assert "metric=log_loss" in page.url
    page.goto(link)
    settle(page)
    assert parse_qs(urlparse(page.url).query) == {"metric": ["log_loss"], "x": ["fit_seconds"]}
    page.get_by_text("seconds to fit (log scale)").first.wait_for()


def test_the_data_set_and_results_go_along_to_other_pages(page, server):
    page.goto(f"{server}/efficiency?results=both")
    settle(page)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Compare models").click()
    page.wait_for_url("**/compare?results=both")
    settle(page)


def test_controls_show_what_the_page_shows_after_a_click_in_the_side_bar(page, server):
    page.goto(f"{server}/efficiency?dataset=hostile&results=both")
    settle(page)
    for name in ("Cost and latency", "Data", "Compare models"):
        page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
        page.wait_for_url("**dataset=hostile*")
        page.get_by_role("heading", name=name).wait_for()
        settle(page)
        box = page.get_by_test_id("stMain").get_by_label("Data set", exact=True).first
        assert "hostile" in (box.input_value() or box.locator("xpath=ancestor::*[@data-testid='stSelectbox']").inner_text())
        lit = page.get_by_test_id("stSidebar").locator("[kind=segmented_controlActive], [aria-checked=true]")
        assert lit.inner_text() == "both"


def test_exports_open(page, server, tmp_path):
    page.goto(f"{server}/compare?n=64")
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").last.click()
    content = Path(download.value.path()).read_text(encoding="utf-8-sig")
    table = list(csv.DictReader(io.StringIO(content)))
    assert {"DIN", "History-LR"} <= {row["System"] for row in table}
    assert any(HOSTILE in row["System"] for row in table), "nothing of a hostile text is lost"
    assert not any(value.startswith(("=", "+", "@")) for row in table for value in row.values())
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML").first.click()
    download.value.save_as(tmp_path / "figure.html")
    saved = page.context.new_page()
    saved.goto((tmp_path / "figure.html").as_uri())
    saved.wait_for_selector(".js-plotly-plot .main-svg")
    assert saved.get_by_text("MovieLens-small").count(), "the scale is on the exported figure"


HOSTILE_VIEWS = (
    "overview?dataset=hostile&n=all",
    "efficiency?dataset=hostile&match=yes",
    "compare?dataset=hostile&view=users",
    "user?dataset=hostile&history=alike",
    "lab?dataset=hostile&out=1&rate=2:1&add=3:5",
    "data?dataset=hostile",
    "runs?user=<script>alert(1)</script>&dataset=<b>x</b>",
)
MARKS = """() => [
    document.querySelectorAll('.katex, mjx-container, .MathJax, img[src="x"], a[href="http://x"], script[data-x]').length,
    [...document.querySelectorAll('b, strong, em, h1, h2')].filter(one => /^\\W*[bh]\\W*$/.test(one.textContent)).length,
    /[\u202a-\u202e]/.test(document.body.innerText),
    [...document.querySelectorAll('span')].filter(one => one.textContent === 'x' && one.style.color).length,
    ['😄', '😃'].some(face => document.body.innerText.includes(face)),
]"""


@pytest.mark.parametrize("view", HOSTILE_VIEWS)
def test_hostile_text_stays_text(view, page, server):
    page.goto(f"{server}/{view.removeprefix('overview')}")
    settle(page)
    if page.locator(".js-plotly-plot").count():
        page.wait_for_selector(".js-plotly-plot .main-svg")
    assert page.get_by_test_id("stException").count() == 0
    assert page.evaluate(MARKS) == [0, 0, False, 0, False]


def test_a_user_is_drawn(page, server):
    page.goto(f"{server}/user")
    settle(page)
    page.get_by_role("button", name="Draw a user").click()
    page.wait_for_url("**user=*")
    settle(page)
    assert page.get_by_text("The exact prompt").count()


def test_presenter_by_keyboard(page, server):
    page.goto(f"{server}/?present=yes")
    settle(page)
    page.get_by_role("button", name="Next").wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**slide=2*")
    settle(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => !location.search.includes('slide')")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_are_dressed(theme, browser, server):
    context = browser.new_context(color_scheme=theme, viewport={"width": 768, "height": 900})
    page = context.new_page()
    page.goto(server)
    settle(page)
    ground = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    light = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(",")[:3])) > 3 * 128
    assert light == (theme == "light")
    width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert width <= 768, "nothing sticks out at 768 px"
    context.close()
