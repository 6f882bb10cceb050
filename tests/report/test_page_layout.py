"""The report in LaTeX, without overfull lines, and in Chromium, without sideways scrolling."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from playwright.sync_api import sync_playwright
from tools import needs

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.pages import FORMATS, write_report
from stargan_lab.tracking.run_folder import RunFolder

pytestmark = pytest.mark.integration

DOCUMENT = r"""\documentclass[a4paper]{article}
\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{lmodern,booktabs,graphicx}
\begin{document}
\input{report.tex}
\end{document}
"""
LONG = "conditional instance norm & no bias in the late layers"


@pytest.fixture
def written(ablation: Ablation, runs: DataFrame, runs_on_disk: Callable[..., RunFolder], tmp_path: Path) -> Path:
    """A report with a long name of a variant, a failed run, sample images and figures."""
    for index, run in runs[:-1].iterrows():
        runs.at[index, "folder"] = runs_on_disk(run["variant"], run["seed"], run["run_id"], 0.5).path
    runs["variant"] = runs["variant"].replace("instance", LONG)
    variants = {LONG if name == "instance" else name: deltas for name, deltas in ablation.variants.items()}
    ablation = replace(ablation, variants=variants, expected={LONG: "better"}, secondary=("eval/frechet_classifier",))
    write_report(ablation, runs, tmp_path / "report", FORMATS, command="stargan-lab sweep norms")
    return tmp_path / "report"


def test_latex_fits_the_text_width(written: Path) -> None:
    (written / "document.tex").write_text(DOCUMENT)
    command = [needs("pdflatex"), "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    compiled = subprocess.run(command, cwd=written, capture_output=True, text=True, errors="replace", timeout=300)
    assert compiled.returncode == 0, compiled.stdout[-2000:]
    assert re.findall(r"Overfull \\hbox.*", compiled.stdout) == []
    assert (written / "document.pdf").stat().st_size > 10_000


@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_needs_no_sideways_scrolling(written: Path, width: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto((written / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
        assert page.evaluate("document.images.length") >= 2
        browser.close()
    assert [url for url in requested if not url.startswith("data:")] == [(written / "report.html").as_uri()]
