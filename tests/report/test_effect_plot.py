"""The plot of effects: its two layouts, and the band of the smallest effect."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.content import content_of
from stargan_lab.report.figures import BAND_IN_PANEL, draw_effects
from stargan_lab.report.pages import write_report


def width(path: Path) -> float:
    """In points."""
    return float(re.findall(r'<svg [^>]*?width="([\d.]+)pt"', path.read_text(), re.DOTALL)[0])


def test_several_panels_are_also_drawn_below_each_other(ablation: Ablation, runs: DataFrame, tmp_path: Path) -> None:
    effects = content_of(ablation, runs).effects
    wide, narrow = draw_effects(ablation, runs, effects, tmp_path / "effects")
    assert (wide.name, narrow.name) == ("effects.svg", "effects-narrow.svg")
    assert width(narrow) < 300 < width(wide)
    one = {"eval/edit": effects["eval/edit"]}
    assert [path.name for path in draw_effects(ablation, runs, one, tmp_path / "one")] == ["one.svg"]


@pytest.mark.parametrize(("smallest", "outside"), [(0.3, False), (1.0, False), (10.0, True)])
def test_a_panel_shows_the_limits_of_the_band_or_the_caption_says_where_they_are(
    ablation: Ablation, runs: DataFrame, tmp_path: Path, smallest: float, outside: bool
) -> None:
    """The panel of the data is about from -1.2 to 1.2, so that only the band of ±10 is much wider."""
    assert BAND_IN_PANEL == 3
    ablation = replace(ablation, smallest_effect=smallest)
    write_report(content_of(ablation, runs), tmp_path, ("md", "html"))
    for page in ("report.md", "report.html"):
        said = f"The limits of the band, ±{smallest:g}, lie outside the panel." in (tmp_path / page).read_text()
        assert said == outside
    svg = (tmp_path / "effects.svg").read_text()
    (band,) = re.findall(r'd="M ([^"]*?)z[^"]*" clip-path="url\(#(\w+)\)" style="fill: #dddddd', svg)
    edges = [float(x) for x in re.findall(r"([-\d.]+) [-\d.]+ \n", band[0])]
    (panel,) = re.findall(rf'<clipPath id="{band[1]}">\s*<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)
    left, breadth = map(float, panel)
    assert (left < min(edges) and max(edges) < left + breadth) != outside
