"""Hostile names of ablations, variants, datasets, classes, files and folders: escaped or refused, never followed."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from stored import tiny_config, write_run

from stargan_lab.ablation.plan import plan
from stargan_lab.ablation.spec import load
from stargan_lab.cli.main import main
from stargan_lab.errors import LabError
from stargan_lab.files import write_json
from stargan_lab.report.swept import SeedPlan
from stargan_lab.runs.build import build_sources
from stargan_lab.tracking.run_folder import find_run

NAMES = {
    "a parent": "../../evil",
    "an absolute path": "/tmp/evil",
    "a newline": "one\ntwo",
    "a control character": "bell\x07\x1b[31m",
    "300 characters": "n" * 300,
    "an emoji": "norm 😀",
    "HTML": "<script>alert(1)</script>",
    "quotes": "'\"`; DROP TABLE runs; --",
    "a placeholder": "${oc.env:HOME}{{7*7}}%s",
    "nothing": "",
}

ABLATION = {
    "claim": "None.",
    "base": ["preset=tiny"],
    "baseline": "usual",
    "seeds": [0],
    "primary": "eval/leak",
}
OVERRIDES = {"usual": ["optimizer.d_lr=0.0001"], "other": ["optimizer.d_lr=0.0002"]}


@pytest.mark.parametrize("kind", NAMES)
def test_ablation(refused: Any, here: Path, kind: str) -> None:
    (here / "evil.yaml").write_text("claim: x")
    assert "unknown ablation" in refused("sweep", NAMES[kind], "--dry-run")


OUTSIDE = ["../../../escaped", "/tmp/escaped", "..", "a/b", "one\ntwo", "", 5, None, ["a"]]


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
@pytest.mark.parametrize("key", ["name", "runs"])
def test_record_of_a_multirun(refused: Any, here: Path, run: Path, key: str, name: Any) -> None:
    """A report is written to the directory of this name."""
    record = {"name": "multirun-1", "by": ["seed"], "runs": [run.name], "choices": {}, "command": ""}
    write_json(here / "mine" / "multirun.json", record | {key: name if key == "name" else [run.name, name]})
    before = sorted(here.rglob("*"))
    for command in (("report",), ("evaluate", "--again"), ("ui",)):
        assert refused(*command, "--multirun", "mine").startswith(f"error: mine/multirun.json: {key}: ")
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
def test_run_in_the_record_of_a_sweep(refused: Any, here: Path, name: Any) -> None:
    write_json(here / "outputs" / "reports" / "quickstart" / "cells.json", [["none", 0, name]])
    assert refused("report", "quickstart").endswith(f"({name!r} is not a run id)")


@pytest.mark.parametrize("changes", [{"seeds": "abc"}, {"seeds": []}, {"seeds": ["a"]}, {"max_seeds": "9"}], ids=repr)
def test_plan_in_the_record_of_a_sweep(refused: Any, here: Path, changes: dict[str, Any]) -> None:
    plan = asdict(SeedPlan.of(load("quickstart"), (0, 1), 9)) | changes
    path = here / "outputs" / "reports" / "quickstart" / "cells.json"
    write_json(path, {"command": "", "cells": [["none", 0, "a1"]], "plan": plan})
    assert refused("report", "quickstart").endswith("(the seeds of the plan are not integers)")


@pytest.mark.parametrize("kind", NAMES)
def test_variant(here: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Accepted with all its printable characters, or refused in one line; listed in one line."""
    name = NAMES[kind]
    content = ABLATION | {"variants": {"usual": OVERRIDES["usual"], name: OVERRIDES["other"]}}
    (here / "experiments").mkdir()
    (here / "experiments" / "mine.yaml").write_text(yaml.safe_dump(content))
    code = main(["sweep", "mine", "--dry-run"])
    out, err = capfd.readouterr()
    assert (code, out.count("\n")) in ((0, 3), (2, 0))  # two cells and the time left
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert code == 0 if name.isprintable() and 0 < len(name) <= 100 else code == 2
    if code == 0:
        assert name in out
        assert name in {cell.variant for cell in plan(load("mine"))}


@pytest.mark.parametrize("kind", [kind for kind, name in NAMES.items() if name.isprintable() and 0 < len(name) <= 100])
def test_variant_in_a_report(here: Path, kind: str) -> None:
    """The page shows the name as text, and every file is written in the report's folder."""
    content = ABLATION | {"variants": {"usual": OVERRIDES["usual"], NAMES[kind]: OVERRIDES["other"]}}
    (here / "experiments").mkdir()
    (here / "experiments" / "mine.yaml").write_text(yaml.safe_dump(content))
    for overrides in OVERRIDES.values():
        write_run(here / "outputs", *overrides, "seed=0")
    before = {path for path in here.rglob("*") if path.is_file()}
    assert main(["report", "mine", "--format", "md,html,tex,csv", "--allow-mixed"]) in (0, 1)
    written = {path for path in here.rglob("*") if path.is_file()} - before
    reports = here / "outputs" / "reports"
    assert {path.parent for path in written} <= {reports, reports / "mine"}
    page = (here / "outputs" / "reports" / "mine" / "report.html").read_text()
    assert "<script>alert" not in page
    with (here / "outputs" / "reports" / "mine" / "report.csv").open() as file:
        assert NAMES[kind] in {row["variant"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("kind", NAMES)
def test_dataset(refused: Any, here: Path, kind: str) -> None:
    quoted = NAMES[kind].replace("\\", "").replace("'", "")
    message = refused("train", "preset=tiny", f"+data.sources={{'{quoted}': {{kind: synthfaces}}}}")
    assert "data.sources" in message or "not a valid override" in message or "expected key=value" in message


@pytest.mark.parametrize("kind", ["a parent", "an absolute path", "a newline", "HTML", "quotes", "300 characters"])
def test_run(refused: Any, run: Path, kind: str) -> None:
    """A name of a run is looked up among the runs; it is never joined to a path."""
    (run.parents[1] / "evil").mkdir()
    for command in (("runs", "show"), ("runs", "rm", "--yes"), ("evaluate",), ("export",)):
        refused(*command, NAMES[kind])
    with pytest.raises(LabError):
        find_run(run.parents[1], NAMES[kind])
    assert run.exists() and (run.parents[1] / "evil").exists()


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "a/../../secret.png", "..", "."])
def test_file_in_an_attribute_list(here: Path, name: str) -> None:
    """CelebA's list names files in its folder, no other files of this machine."""
    root = here / "celeba"
    (root / "images").mkdir(parents=True)
    Image.new("RGB", (178, 218)).save(root / "secret.png")
    rows = [f"{name} 1", "b.png -1", "c.png 1"]
    for file in ("b.png", "c.png"):
        Image.new("RGB", (178, 218)).save(root / "images" / file)
    (root / "list_attr_celeba.txt").write_text("\n".join(["3", "Male", *rows]) + "\n")
    (root / "list_eval_partition.txt").write_text(f"{name} 0\nb.png 1\nc.png 2\n")
    words = ["data=celeba", f"data.sources.celeba.root={root}", "data.sources.celeba.attributes=[Male]"]
    (source,) = build_sources(tiny_config(here / "outputs", *words))
    with pytest.raises(LabError, match=r"list_attr_celeba\.txt: line 3: .* is not a file name in"):
        source.splits()


@pytest.mark.parametrize("name", ["a b", "größe", "a#b", "a%20b", "a?b", "a;b", "a'b", "$HOME", "-rf", "a\nb", "a=b"])
def test_outputs(here: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Everything is written in the folder of this name, MLflow's store included."""
    from stargan_lab.tracking.store import Store, StoreError

    if "%20" in name or "?" in name:  # MLflow would write to another folder
        with pytest.raises(StoreError, match="rename it"):
            Store.open(here / name)
        assert not list(here.iterdir())
        return
    store = Store.open(here / name)
    run = store.open_run("a1b2", "run", 0.0)
    file = here / "file.txt"
    file.write_text("x")
    store.artifact(run.info.run_id, file)
    assert {path.name for path in here.iterdir()} == {name, "file.txt"}
    assert list((here / name / "mlartifacts").rglob("file.txt"))
    assert (here / name / "mlflow.db").exists()
