"""The pages and pictures of a report."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.files import write_json
from stargan_lab.report.build import build, terminal
from stargan_lab.report.document import Paragraph, Table, to_html, to_markdown, to_tex, to_text
from stargan_lab.report.rows import RunRow, collect
from stargan_lab.report.scorings import RunWarning
from stargan_lab.report.spreadsheet import read_csv
from stargan_lab.report.strip import strip
from stargan_lab.tracking.run_folder import RunFolder

MakeRun = Callable[[str, int, str, float], RunFolder]


def test_every_file_of_a_report(ablation: Ablation, rows: list[RunRow], runs_on_disk: MakeRun, tmp_path: Path) -> None:
    rows = [replace(row, folder=runs_on_disk(row.variant, row.seed, row.run_id, 0.5).path) for row in rows[:-1]] + rows[
        -1:
    ]
    out = tmp_path / "reports" / "norms"
    written = build(ablation, rows, out, ("md", "csv", "html", "tex"), findings=[Paragraph("Verdict: <better>")])
    names = ["report.md", "report.csv", "report.html", "report.tex", "metrics.png", "strip.png"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in out.iterdir()) == sorted(names)

    text = (out / "report.md").read_text()
    assert "| instance | 0.767 ± 0.115 (3) | +0.167 ± 0.058 (3) | 23.33 ± 11.55 (3) |" in text
    assert "- layer, seed 3: failed (run layer3): loss/d_gp became NaN at step 40" in text
    assert "- runs: 8 finished of 9 planned" in text
    assert "- seeds: 1, 2, 3" in text
    assert "- protocol: p1" in text
    assert "- machine: 2 cores" in text
    assert "- finished: 2025-03-01 10:00 to 2025-03-03 10:00 UTC" in text
    assert "](metrics.png)" in text
    assert "](strip.png)" in text
    assert "Verdict: <better>" in text

    page = (out / "report.html").read_text()
    assert "0.767 ± 0.115 (3)" in page
    assert "Verdict: &lt;better&gt;" in page
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert read_csv(out / "report.csv") == rows

    with Picture.open(out / "metrics.png") as image:
        assert image.info["dpi"][0] >= 150
        assert image.width >= 700


def test_a_report_from_its_own_csv_is_the_same(ablation: Ablation, rows: list[RunRow], tmp_path: Path) -> None:
    build(ablation, rows, tmp_path / "a")
    again = read_csv(tmp_path / "a" / "report.csv")
    build(ablation, again, tmp_path / "b")
    for name in ("report.md", "report.html", "report.csv", "metrics.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_mixing_is_refused_unless_allowed_and_then_said(ablation: Ablation, rows: list[RunRow], tmp_path: Path) -> None:
    rows[0] = replace(rows[0], protocol="p2")
    with pytest.raises(LabError, match="runs none1 and none2 were scored differently"):
        build(ablation, rows, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    build(ablation, rows, tmp_path / "out", ("md",), allow_mixed=True)
    said = "protocol: p1, p2 (mixed: compare with care: eval/edit, eval/frechet_classifier)"
    assert said in (tmp_path / "out" / "report.md").read_text()


def test_protocols_may_differ_where_every_score_was_made_alike(
    ablation: Ablation, rows: list[RunRow], tmp_path: Path
) -> None:
    alike = {"eval/edit": "aaaaaaaa", "eval/frechet_classifier": "bbbbbbbb"}
    rows = [replace(row, protocols=alike) for row in rows]
    rows[0] = replace(rows[0], protocol="p2", protocols=alike | {"eval/fid": "cccccccc"})
    rows[0].metrics["eval/fid"] = 12.0
    build(ablation, rows, tmp_path / "out", ("md",))
    text = (tmp_path / "out" / "report.md").read_text()
    assert "protocol: p1, p2 (every score in the tables was made alike)" in text
    assert "mixed" not in text


def test_warnings_and_further_scores_are_in_every_form(ablation: Ablation, rows: list[RunRow], tmp_path: Path) -> None:
    few = RunWarning("few-images", ("eval/kid_classifier",), "faces: 9 images | fewer than 64_features")
    rows = [
        replace(
            row,
            metrics=row.metrics | {"eval/kid_classifier": 0.5, "eval/kid_dino": 0.25},
            warnings=(few,) if row.variant == "none" else (),
        )
        for row in rows
    ]
    build(ablation, rows, tmp_path, ("md", "html", "tex", "csv"))
    cell, line = "0.5000 ± 0.0000 (3) [a]", "[a] few-images: none seeds 1, 2, 3: faces: 9 images"
    text = (tmp_path / "report.md").read_text()
    assert "## Further scores\n\n| score | none (baseline) | instance | layer |" in text
    assert f"| kid_classifier ↓ | {cell} | 0.5000 ± 0.0000 (3) | 0.5000 ± 0.0000 (2) |" in text
    assert "| kid_dino ↓ | 0.2500 ± 0.0000 (3) |" in text
    assert f"- {line}" in text
    assert "- kid_dino ↓: kernel distance (MMD²); features dino" in text
    page = (tmp_path / "report.html").read_text()
    assert f"<td>{cell}</td>" in page and f"<li>{line}" in page
    fragment = (tmp_path / "report.tex").read_text()
    assert r"0.5000 $\pm$ 0.0000 (3) {[}a{]}" in fragment
    assert r"\item {[}a{]} few-images: none seeds 1, 2, 3: faces: 9 images $|$ fewer than 64\_features" in fragment
    assert cell in terminal(ablation, rows) and f"- {line}" in terminal(ablation, rows)

    again = read_csv(tmp_path / "report.csv")
    build(ablation, again, tmp_path / "again", ("md", "html", "tex", "csv"))
    for name in ("report.md", "report.html", "report.tex", "report.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_before_any_run_has_finished(ablation: Ablation, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "strip.png").write_bytes(b"old")
    assert [path.name for path in build(ablation, [], out)] == ["report.md", "report.csv", "report.html"]
    assert "runs: 0 finished of 9 planned" in (out / "report.md").read_text()
    assert not (out / "strip.png").exists()


def test_an_unknown_format(ablation: Ablation, rows: list[RunRow], tmp_path: Path) -> None:
    with pytest.raises(LabError, match="unknown format 'htm'; did you mean 'html'"):
        build(ablation, rows, tmp_path, ("htm",))


def test_the_terminal_gets_aligned_columns(ablation: Ablation, rows: list[RunRow]) -> None:
    lines = terminal(ablation, rows).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("variant"))
    ends = [lines[at + i].index(")", lines[at + i].index(".")) for i in (2, 3, 4)]
    assert len(set(ends)) == 1
    assert set(lines[at + 1]) == {"-", " "}


def test_numbers_align_beside_marks() -> None:
    table = Table(("variant", "edit"), (("a", "0.5 (3) [a, b]"), ("b", "10.5 (3)"), ("c", "–"), ("d", "0.5 (2) [a]")))
    assert to_text([table]).splitlines()[2:] == [
        "a         0.5 (3) [a, b]",
        "b        10.5 (3)",
        "c               –",
        "d         0.5 (2) [a]",
    ]


def test_special_characters_in_every_form(tmp_path: Path) -> None:
    table = Table(("a|b", "c"), (("50% & <x_y>", "1"),))
    assert "| a\\|b | c |" in to_markdown([table], tmp_path)
    assert "50% &amp; &lt;x_y&gt;" in to_html([table], "t")
    assert r"50\% \& $<$x\_y$>$ & 1 \\" in to_tex([table], tmp_path)
    assert to_text([table]) == "a|b          c\n-----------  -\n50% & <x_y>  1\n"


def test_the_strip_shows_the_first_seed_at_the_last_step(
    ablation: Ablation, runs_on_disk: MakeRun, tmp_path: Path
) -> None:
    cells = [("none", 1, "n1"), ("none", 2, "n2"), ("instance", 2, "i2")]
    for variant, seed, run_id in cells:
        runs_on_disk(variant, seed, run_id, 0.5)
    rows = collect(ablation, cells, tmp_path)
    assert strip(rows, tmp_path / "strip.png")
    with Picture.open(tmp_path / "strip.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    present = {tuple(map(int, colour)) for colour in np.unique(pixels.reshape(-1, 3), axis=0)}
    for column in (0, 1, 2):
        assert (80 * column, 20, 100) in present  # none, seed 1, step 1000
        assert (80 * column, 40, 100) in present  # instance, seed 2
    assert not any(colour[2] == 90 and colour[1] in (20, 40) for colour in present)  # step 900
    assert (0, 120, 100) not in present  # the second picture
    tile = (pixels == (80, 20, 100)).all(axis=2)
    assert tile.any(axis=1).sum() == 96
    assert not strip([replace(row, folder=None) for row in rows], tmp_path / "none.png")


def test_samples_that_do_not_fit_are_named(ablation: Ablation, runs_on_disk: MakeRun, tmp_path: Path) -> None:
    samples = runs_on_disk("none", 1, "n1", 0.5).samples
    rows = collect(ablation, [("none", 1, "n1")], tmp_path)
    write_json(samples / "targets.json", {"columns": ["source", "Male"], "image_size": 32})
    with pytest.raises(LabError, match=r"1000\.png: 96×64 pixels are not rows of 2 images of 32 pixels"):
        strip(rows, tmp_path / "strip.png")
    write_json(samples / "targets.json", {"columns": ["source"]})
    with pytest.raises(LabError, match="expected a mapping with columns and image_size"):
        strip(rows, tmp_path / "strip.png")
