"""The password of a tracking store: used by the runs, and in no file and no message."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import stargan_lab.cli.report
import stargan_lab.runs.run
from stargan_lab.cli.main import main
from stargan_lab.config import RunConfig
from stargan_lab.runs.metadata import open_store
from stargan_lab.tracking.run_folder import run_folders
from stargan_lab.tracking.store import StoreError

PASSWORD = "s3cretpw"
URI = f"postgresql+psycopg2://lab:{PASSWORD}@127.0.0.1:1/lab"
SHOWN = URI.replace(PASSWORD, "***")
TINY = ["preset=tiny", "generator.blocks=1", f"tracking.uri={URI}"]
HERE = "hydra/launcher=in_process"
ABLATION = (
    "base: [preset=tiny]\nclaim: None.\nbaseline: none\nprimary: eval/edit\nseeds: [0, 1]\n"
    "variants: {none: [discriminator.norm=none], layer: [discriminator.norm=layer]}\n"
)


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """``train --info`` makes Hydra log everything."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def check_hidden(folder: Path, texts: list[str]) -> None:
    written = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert any(path.name == "overrides.yaml" for path in written), "Hydra's files"
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []
    assert PASSWORD not in "".join(texts)


@pytest.mark.parametrize(
    "command", [["train"], ["train", "-m", HERE, "seed=0,1"], ["sweep", "norms", HERE], ["train", "--cfg", "job"]]
)
def test_runs_get_the_password_and_files_do_not(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    configs: list[RunConfig] = []
    monkeypatch.setattr(
        stargan_lab.runs.run, "run", lambda config, *_, **__: configs.append(config) or {"run_id": "none"}
    )
    monkeypatch.setattr(stargan_lab.cli.report, "write_and_print", lambda *arguments: None)
    (here / "experiments").mkdir()
    (here / "experiments" / "norms.yaml").write_text(ABLATION)
    main([*command, *TINY])
    out, err = capfd.readouterr()
    if "--cfg" in command:
        assert SHOWN in out and PASSWORD not in out
        return
    assert {config.tracking.uri for config in configs} == {URI}
    check_hidden(here, [out, err])


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("command", [["train", "--info", "config"], ["doctor"]])
def test_what_is_printed_has_no_password(here: Path, capfd: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main([*command, *TINY]) == 0
    printed = "".join(capfd.readouterr())
    assert SHOWN in printed.replace("\\:", ":") and PASSWORD not in printed


@pytest.mark.slow
def test_a_run_is_recorded_without_the_password(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", *TINY, "total_steps=2"]) == 0
    (folder,) = run_folders(here / "outputs")
    assert yaml.safe_load(folder.config_path.read_text())["tracking"]["uri"] == SHOWN
    out, err = capfd.readouterr()
    assert f"MLflow store {SHOWN} cannot be opened" in err
    assert main(["evaluate", folder.run_id, "evaluation.max_images=8"]) == 0
    again = capfd.readouterr()
    assert f"warning: MLflow store {SHOWN}: its password is not recorded; set MLFLOW_TRACKING_URI" in again.err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    assert main(["evaluate", folder.run_id, "evaluation.max_images=4"]) == 0
    third = capfd.readouterr()
    assert f"warning: MLflow store {SHOWN} cannot be opened" in third.err
    assert main(["ui"]) == 1
    check_hidden(here, [out, err, *again, *third, *capfd.readouterr()])


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stargan_lab import compose

    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    config = compose(["preset=tiny", f"paths.outputs={tmp_path}"])
    assert config.tracking.uri is None
    with pytest.raises(StoreError, match=r"lab:\*\*\*@127\.0\.0\.1"):
        open_store(config)
