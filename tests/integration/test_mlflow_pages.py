"""``stargan-lab ui``: what Chromium shows of a real server."""

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright
from processes import RATES, Lab
from servers import listening_addresses
from tools import require_tool

pytestmark = pytest.mark.integration
SECONDS = 120.0
"""The pages need several of them on a busy machine."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Two runs and their report, the baseline trained last; and a multirun of the baseline and another run."""
    lab = Lab(tmp_path_factory.mktemp("ui"))
    lab.write("experiments/rates.yaml", RATES)
    steps = ("preset=tiny", "total_steps=2")
    for outcome in (
        lab("train", *steps, "optimizer.d_lr=0.00001", "+tracking.ablations.rates=low"),
        lab("sweep", "rates", *steps[1:]),
        lab("train", *steps, "-m", "generator.conditioning=concat,adain"),
    ):
        assert outcome.code == 0, outcome.err
    return lab


@contextmanager
def serving(lab: Lab, *arguments: str) -> Iterator[list[str]]:
    """The addresses that ``stargan-lab ui`` prints, while it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = lab.start("ui", *arguments, "--port", str(port))
    try:
        assert process.stderr is not None
        lines: list[str] = []
        while not any("Uvicorn running" in line for line in lines):
            line = process.stderr.readline()
            assert line, "".join(lines)
            lines.append(line)
        assert listening_addresses(port) == {"0100007F"}, "on 127.0.0.1 only"
        yield [address for line in lines for address in re.findall(r"http://127\S+/#/\S+", line)]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    with socket.socket() as freed:
        freed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        freed.bind(("127.0.0.1", port))  # no process of the server is left


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        chromium = require_tool("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 2400, "height": 1200})
        page.set_default_timeout(1000 * SECONDS)
        yield page
        browser.close()


def test_an_ablation_opens_grouped_with_its_baseline_first(lab: Lab, page: Page) -> None:
    with serving(lab, "rates") as (runs, compare):
        page.goto(runs)
        page.get_by_text("Group: usual").wait_for()
        page.get_by_text("Group: low").wait_for()
        heights = [(page.get_by_text(f"Group: {name}").bounding_box() or {})["y"] for name in ("usual", "low")]
        assert heights[0] < heights[1]
        page.get_by_text("eval/leak", exact=True).first.wait_for()
        page.get_by_text("optimizer.d_lr", exact=True).first.wait_for()
        assert page.get_by_text("report: rates").count() == 0

        page.goto(compare)
        end = page.get_by_text("Clear All").first
        end.wait_for()
        named = page.get_by_text(re.compile(r"^(eval|loss)/\w+$")).all()
        below = (end.bounding_box() or {})["y"]
        above = {
            each.inner_text() for each in named if (box := each.bounding_box()) and box["x"] < 900 and box["y"] < below
        }
        assert above == {"eval/leak"}


def test_all_runs_open_with_scores_and_factors(lab: Lab, page: Page) -> None:
    with serving(lab) as (runs,):
        page.goto(runs)
        page.get_by_text("low · seed 0").wait_for()
        for column in ("eval/edit", "optimizer.d_lr"):
            page.get_by_text(column, exact=True).first.wait_for()
        page.get_by_text("low · seed 0").click()
        link = page.get_by_role("link", name="Report", exact=True).get_attribute("href")
        page.goto(runs.partition("#")[0] + str(link))
        frame = page.frame_locator("iframe").first
        frame.get_by_text("Verdicts on eval/leak").wait_for()


def test_the_verdicts_of_a_report(lab: Lab, page: Page) -> None:
    with serving(lab) as (runs,):
        page.goto(runs)
        page.get_by_text("low · seed 0").click()
        link = page.get_by_role("link", name="Report", exact=True).get_attribute("href")
        report = runs.partition("#")[0] + str(link).partition("/artifacts")[0]
        page.goto("about:blank")
        page.goto(f"{report}/artifacts/verdicts.json?workflowType=machine_learning")
        titles = ["variant", "verdict", "Δ leak ↓", "95% interval", "pairs"]
        page.get_by_role("columnheader").first.wait_for()  # its accessible name is not its text
        assert [each.inner_text() for each in page.get_by_role("columnheader").all()][:5] == titles
        cells = [each.inner_text() for each in page.get_by_role("cell").all()][:5]
        assert cells[:2] == ["low", "undecided"] and re.fullmatch(r"[+-]?0\.\d{4}", cells[2]) and cells[4] == "1"
        page.goto("about:blank")
        page.goto(f"{report}?workflowType=machine_learning")
        page.get_by_text(re.compile(r"^low vs\. usual is undecided \(Δ leak .*n = 1, protocol \w{8}\)\.$")).wait_for()


def test_a_multirun_opens_grouped_by_its_variants(lab: Lab, page: Page) -> None:
    with serving(lab, "--multirun", "latest") as (runs, _):
        page.goto(runs)
        for variant in ("concat", "adain"):
            page.get_by_text(f"Group: conditioning={variant}").wait_for()
        page.get_by_text("2 matching runs").wait_for()
        assert page.get_by_text("low · seed 0").count() == 0


def test_a_port_in_use(lab: Lab) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        outcome = lab("ui", "--port", str(port))
    assert (outcome.code, outcome.lines()) == (
        2,
        [f"error: --port {port}: Address already in use; try --port {port + 1}"],
    )
