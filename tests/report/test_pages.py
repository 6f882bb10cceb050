"""The pages of a report."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from scored import row

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.files import locked, read_json, write_json
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.report.comparable import protocol_of
from stargan_lab.report.content import content_of
from stargan_lab.report.pages import FORMATS, aligned, report_text, tex, write_report
from stargan_lab.report.runs_csv import read_csv
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder


def test_all_files_of_a_report(
    ablation: Ablation, runs: DataFrame, runs_on_disk: Callable[..., RunFolder], tmp_path: Path
) -> None:
    for index, run in runs[:-1].iterrows():
        runs.at[index, "folder"] = runs_on_disk(run["variant"], run["seed"], run["run_id"], 0.5).path
    out = tmp_path / "reports" / "norms"
    written = write_report(content_of(ablation, runs, "stargan-lab sweep norms"), out, FORMATS)
    pages = ["report.md", "report.csv", "report.html", "report.tex", "report.json"]
    names = [*pages, "effects.svg", "effects.pdf", "effects-narrow.svg", "strip.png"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in out.iterdir()) == sorted(names)

    text = (out / "report.md").read_text()
    assert "| instance | 0.77 ± 0.12 (3) | 23 ± 12 (3) |" in text
    verdict = (
        "## Verdicts on eval/edit\n\n- instance vs. none is undecided; about 4 seeds in total are needed to decide it"
    )
    assert (
        f"{verdict} (Δ edit +0.17, 95% interval [-0.04, +0.37], n = 3, protocol p1). Expected: better; inconclusive."
        in text
    )
    assert "| instance | +0.17 | [-0.04, +0.37] | 3 | 0.075 | undecided | better | about 4 |" in text
    assert "Missing runs:\n\n- layer, seed 3: failed (run layer3): loss/d_gp became NaN at step 40\n" in text
    provenance = [
        "command: stargan-lab sweep norms",
        "runs: 8 of 9 finished",
        "seeds: 1, 2, 3",
        "protocol: p1",
        "code: c1",
        "machine: 2 cores",
    ]
    provenance += ["finished: 2025-03-01 10:00 to 2025-03-03 10:00 UTC"]
    provenance += ["time: 8.0 minutes of training and evaluation in total", "none: no overrides"]
    assert "## Provenance\n\n" + "".join(f"- {line}\n" for line in provenance) in text
    assert "](effects.svg)" in text and "](strip.png)" in text
    assert r"\includegraphics[width=\linewidth]{effects}" in (out / "report.tex").read_text()

    page = (out / "report.html").read_text()
    assert '<td data-column="edit ↑">0.77 ± 0.12 (3)</td>' in page
    assert re.findall(r'(src(?:set)?)="data:image/([a-z+]+);base64,', page) == [
        ("srcset", "svg+xml"),
        ("src", "svg+xml"),
        ("src", "png"),
    ]
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "layer − none" in (out / "effects.svg").read_text()  # text, not outlines


def test_warnings_and_further_scores_in_every_format_and_again_from_the_csv(
    ablation: Ablation, runs: DataFrame, tmp_path: Path
) -> None:
    few = {"code": "few-images", "metrics": ["eval/kid_classifier"], "text": "faces: 9 images | fewer than 64_features"}
    runs[["eval/kid_classifier", "eval/kid_pixels"]] = 0.5, 0.25
    runs["warnings"] = [[few] if variant == "none" else [] for variant in runs["variant"]]
    files = write_report(content_of(ablation, runs), tmp_path / "first", FORMATS)
    cell, line = "0.5000 ± 0.0000 (3) [a]", "[a] few-images: none seeds 1, 2, 3: faces: 9 images"
    text = (tmp_path / "first" / "report.md").read_text()
    assert "## Further scores\n\n| score | none (baseline) | instance | layer |\n| :-- | --: | --: | --: |\n" in text
    assert f"| kid_classifier ↓ | {cell} | 0.5000 ± 0.0000 (3) | 0.5000 ± 0.0000 (2) |" in text
    assert f"- {line}" in text
    assert "- kid_pixels ↓: " + lookup("eval/kid_pixels").meaning in text
    page = (tmp_path / "first" / "report.html").read_text()
    assert f">{cell}</td>" in page and f"<li>{line}" in page
    fragment = (tmp_path / "first" / "report.tex").read_text()
    assert r"0.5000 $\pm$ 0.0000 (3) {[}a{]}" in fragment
    assert r"\item {[}a{]} few-images: none seeds 1, 2, 3: faces: 9 images $|$ fewer than 64\_features" in fragment
    assert cell in report_text(content_of(ablation, runs)) and f"- {line}" in report_text(content_of(ablation, runs))

    again = read_csv(tmp_path / "first" / "report.csv")
    for path in write_report(content_of(ablation, again), tmp_path / "again", FORMATS):
        assert path.read_bytes() == (tmp_path / "first" / path.name).read_bytes(), path.name
    assert [path.name for path in files][-1] == "effects-narrow.svg"


def test_mixed_runs_are_refused_unless_allowed_and_then_noted(
    ablation: Ablation, runs: DataFrame, tmp_path: Path
) -> None:
    runs.loc[0, "protocol"] = "p2"
    with pytest.raises(LabError, match="runs none1 and none2 were scored differently"):
        write_report(content_of(ablation, runs), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_report(content_of(ablation, runs), tmp_path / "out", ("md",), allow_mixed=True)
    note = "protocol: p1, p2 (mixed; compare with caution: eval/edit, eval/frechet_classifier)\n"
    assert note in (tmp_path / "out" / "report.md").read_text()


def grid_of_norms(ablation: Ablation, runs: DataFrame) -> tuple[Ablation, DataFrame]:
    """Two factors, four cells, three seeds, and a secondary metric under a protocol of its own."""
    levels = {"norm": ("none", "layer"), "penalty": ("gp", "off")}
    cells = [f"norm={norm} penalty={penalty}" for norm in levels["norm"] for penalty in levels["penalty"]]
    ablation = replace(
        ablation,
        variants={cell: () for cell in cells},
        baseline=cells[0],
        factors=levels,
        baseline_levels={"norm": "none", "penalty": "gp"},
        secondary=("eval/leak",),
        expected={},
    )
    rows = [
        row(cell, seed, protocols={"eval/edit": "aaaaaaaa", "eval/leak": "bbbbbbbb"}, **scores)
        for place, cell in enumerate(cells)
        for seed in (1, 2, 3)
        for scores in [{"eval/edit": 0.1 * place + 0.2 * seed**2 * place, "eval/leak": 0.3 / (seed + place)}]
    ]
    return ablation, as_frame(rows)


@pytest.mark.parametrize("form", ["variants", "matched", "grid"])
def test_every_verdict_names_effect_interval_pairs_and_protocol(
    ablation: Ablation, runs: DataFrame, tmp_path: Path, form: str
) -> None:
    if form == "grid":
        ablation, runs = grid_of_norms(ablation, runs)
    else:
        runs["eval/leak"] = runs["eval/edit"] ** 2
        runs["protocols"] = [{"eval/edit": "aaaaaaaa", "eval/leak": "bbbbbbbb"}] * len(runs)
        matched = {"layer": "instance"} if form == "matched" else {}
        ablation = replace(ablation, secondary=("eval/leak",), matched=matched)
    content = content_of(ablation, runs)
    write_report(content, tmp_path, ("md",))
    for text in ((tmp_path / "report.md").read_text(), report_text(content)):
        captions = [line for line in text.splitlines() if re.search(r"Protocol: \w+\.$", line)]
        found = [line.rpartition("Protocol: ")[2] for line in captions]
        assert found == ["aaaaaaaa.", "bbbbbbbb.", *(["aaaaaaaa."] * 3 if form == "grid" else [])]
        assert all(("(" in line) == (form != "matched") for line in captions[:2])  # else a column has the baseline
        headers = [line for line in text.splitlines() if "adjusted p" in line]
        assert len(headers) == len(captions)
        for header in headers:
            assert all(word in header for word in ("Δ ", "95% interval", "pairs", "verdict"))
            assert ("compared with" in header) == (form == "matched")
        assert all(
            f"{name}: {lookup(f'eval/{name[:-2]}').meaning} (protocol {protocol})" in text
            for name, protocol in (("edit ↑", "aaaaaaaa"), ("leak ↓", "bbbbbbbb"))
        )
    if form == "grid":
        assert "Main effect of norm, relative to none, averaged over the other factors" in text
        assert "Interaction of norm and penalty, relative to none and gp, averaged" in text
    summary = read_json(tmp_path / "report.json")
    table = [dict(zip(summary["table"]["columns"], row, strict=True)) for row in summary["table"]["data"]]
    contrasts = 3 if form == "grid" else 0
    assert len(table) == len(content.answers) - contrasts and summary["table"]["columns"][:2] == ["variant", "verdict"]
    for shown in table:
        assert shown["protocol"] == "aaaaaaaa" and shown["95% interval"].startswith("[") and shown["pairs"] in "23"
        assert shown["compared with"] == ablation.compared_with()[shown["variant"]]
    assert summary["answers"] == content.answers and len(table) == len(summary["verdicts"])
    for verdict in summary["verdicts"]:
        assert (verdict["metric"], verdict["protocol"]) == ("eval/edit", "aaaaaaaa")
        assert verdict["ci_low"] <= verdict["effect"] <= verdict["ci_high"] and verdict["n"] in (2, 3)


def test_a_protocol_is_that_of_the_runs_with_a_value(runs: DataFrame) -> None:
    runs["protocols"] = [{"eval/fid": "cccccccc"}, *[{}] * (len(runs) - 1)]
    runs.loc[0, "eval/fid"] = 12.0
    assert protocol_of(runs, "eval/fid") == "cccccccc"
    assert protocol_of(runs, "eval/kid") == "unknown"


def test_protocols_may_differ_where_each_score_was_computed_the_same_way(
    ablation: Ablation, runs: DataFrame, tmp_path: Path
) -> None:
    same = {"eval/edit": "aaaaaaaa", "eval/frechet_classifier": "bbbbbbbb"}
    runs["protocols"] = [same | {"eval/fid": "cccccccc"}, *[same] * 8]
    runs.loc[0, ["protocol", "eval/fid"]] = "p2", 12.0
    write_report(content_of(ablation, runs), tmp_path, ("md",))
    text = (tmp_path / "report.md").read_text()
    assert "protocol: p1, p2 (each score was computed the same way in all runs)" in text
    assert "mixed" not in text


def test_before_any_run_has_finished_old_figures_are_deleted(
    ablation: Ablation, runs: DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "strip.png").write_bytes(b"old")
    written = write_report(content_of(ablation, runs[:0]), tmp_path)
    assert [path.name for path in written] == ["report.md", "report.csv", "report.html", "report.json"]
    assert "runs: 0 of 9 finished" in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "strip.png").exists()


def test_a_report_without_comparable_samples_has_no_strip(
    ablation: Ablation,
    runs: DataFrame,
    runs_on_disk: Callable[..., RunFolder],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for index in (0, 3):
        run = runs.loc[index]
        runs.at[index, "folder"] = runs_on_disk(run["variant"], run["seed"], run["run_id"], 0.5).path
    write_json(
        runs.at[3, "folder"] / "samples" / "targets.json", {"columns": ["source", "Old", "Male"], "image_size": 32}
    )
    written = write_report(content_of(ablation, runs), tmp_path / "out")
    assert "strip.png" not in [path.name for path in written]
    assert "warning: no image strip: the samples of runs none1 and instance1 show different" in capsys.readouterr().err


def test_reports_of_one_ablation_are_written_one_after_another(
    ablation: Ablation, runs: DataFrame, tmp_path: Path
) -> None:
    """Each deletes figures that the other is about to embed."""
    out = tmp_path / "norms"
    writer = threading.Thread(target=write_report, args=(content_of(ablation, runs), out))
    with locked(tmp_path / ".norms.lock"):
        writer.start()
        writer.join(0.3)
        assert not out.exists()
    writer.join()
    assert (out / "report.html").exists()


def test_an_unknown_format(ablation: Ablation, runs: DataFrame, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="unknown format 'htm'; did you mean 'html'"):
        write_report(content_of(ablation, runs), tmp_path, ("htm",))


def test_numbers_align_in_the_terminal_with_and_without_marks() -> None:
    table = DataFrame(
        {"edit": ["0.5 (3) [a, b]", "10.5 (3)", "–", "0.5 (2) [a]"], "s": list("1234")},
        index=["a", "ひ", "ccc", "d"],
    )
    assert aligned(table.rename_axis("variant")).splitlines() == [
        "variant             edit  s",
        "a         0.5 (3) [a, b]  1",
        "ひ       10.5 (3)         2",
        "ccc             –         3",
        "d         0.5 (2) [a]     4",
    ]


def test_special_characters_in_every_format(ablation: Ablation, runs: DataFrame, tmp_path: Path) -> None:
    special = "50% & <x_y>|"
    ablation = replace(ablation, title=special, baseline=special, variants={special: (), "layer": ()})
    write_report(content_of(ablation, runs), tmp_path, FORMATS)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith(f"# {special}\n") and "| 50% & <x_y>\\| (baseline) |" in text
    page = (tmp_path / "report.html").read_text()
    for tag in ("title", "h1"):
        assert f"<{tag}>50% &amp; &lt;x_y&gt;|</{tag}>" in page
    assert ">50% &amp; &lt;x_y&gt;| (baseline)</td>" in page and "<x_y>" not in page
    fragment = (tmp_path / "report.tex").read_text()
    assert r"\section*{50\% \& $<$x\_y$>$$|$}" in fragment and r"50\% \& $<$x\_y$>$$|$ (baseline) & " in fragment
    assert tex("\\ {a} [b] ² ↑–~") == r"\textbackslash{} \{a\} {[}b{]} $^2$ $\uparrow$--\textasciitilde{}"
    assert report_text(content_of(ablation, runs)).startswith(f"{special}\n============\n")
