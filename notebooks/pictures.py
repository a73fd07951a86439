"""A still picture beside every interactive figure of a notebook: what pages show that run no JavaScript."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import nbformat
from plotly.offline import get_plotlyjs

FIGURE, PICTURE = "application/vnd.plotly.v1+json", "image/png"
_WIDTH, _HEIGHT = 860, 450
_DRAW = """async ([figure, width, height]) => {
  const layout = {...figure.layout, width, height: figure.layout.height || height, paper_bgcolor: "white", plot_bgcolor: "white"};
  const address = await Plotly.toImage({data: figure.data, layout}, {format: "png", width: layout.width, height: layout.height});
  return address.split(",")[1];
}"""


def figures(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """The outputs of a notebook that hold an interactive figure, each as its data by kind."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data for output in outputs if FIGURE in output.get("data", {})]


def add(notebook: nbformat.NotebookNode) -> None:
    """Put a PNG beside every figure; without playwright or Chromium say so and leave the notebook as it is."""
    found = figures(notebook)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if found and chromium is None:
        print("no still pictures of the figures: install chromium and playwright (extra `test`)", file=sys.stderr)
    if not found or chromium is None:
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        for data in found:
            data[PICTURE] = page.evaluate(_DRAW, [json.loads(json.dumps(data[FIGURE])), _WIDTH, _HEIGHT])
        browser.close()
