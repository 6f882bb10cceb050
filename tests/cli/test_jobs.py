"""``train``, ``train -m`` and ``sweep`` up to the training itself: composed and validated once, errors in one line."""

import json
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from joblib import cpu_count

import hydra_plugins
import stargan_lab.cli.report
import stargan_lab.runs.run
from stargan_lab.cli.capacity import Capacity
from stargan_lab.cli.main import main
from stargan_lab.cli.multirun import multirun_directory, read_multirun, runs_of
from stargan_lab.cli.ui import view_of
from stargan_lab.config import RunConfig, run_id
from stargan_lab.config.factors import factors
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import write_text
from stargan_lab.report.from_runs import ablation_of, also_differing
from stargan_lab.runs.build import check_prerequisites
from stargan_lab.runs.run_name import run_name
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.run_folder import RunFolder


def identity(config: RunConfig) -> str:
    return run_id(config, check_prerequisites(config, True))


TINY = ["preset=tiny", "generator.blocks=1"]
HERE = "hydra/launcher=in_process"  # so that the training can be replaced


@pytest.fixture
def trained(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configurations that would have been trained."""
    configs: list[RunConfig] = []
    monkeypatch.setattr(
        stargan_lab.runs.run, "run", lambda config, *_, **__: configs.append(config) or {"run_id": "none"}
    )
    monkeypatch.setattr(stargan_lab.cli.report, "write_and_print", lambda *arguments: None)
    (here / "experiments").mkdir()
    (here / "experiments" / "norms.yaml").write_text(
        "base: [preset=tiny]\nclaim: None.\nbaseline: none\nprimary: eval/edit\nseeds: [0, 1]\n"
        "variants: {none: [discriminator.norm=none], layer: [discriminator.norm=layer]}\n"
    )
    return configs


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Number of configurations composed by Hydra and validated by this package."""
    counts = {"composed": 0, "validated": 0}

    def count(name: str, owner: Any, attribute: str) -> None:
        original = getattr(owner, attribute)

        def counted(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, attribute, counted)

    count("composed", ConfigLoaderImpl, "load_configuration")
    count("validated", import_module("stargan_lab.config.compose"), "validate")  # the function hides the module
    return counts


def test_single_run_is_composed_and_validated_once(trained: list[RunConfig], calls: dict[str, int]) -> None:
    assert main(["train", *TINY, "seed=7"]) == 0
    assert [config.seed for config in trained] == [7]
    assert calls == {"composed": 1, "validated": 1}


def test_jobs_of_a_multirun_are_composed_and_validated_once(trained: list[RunConfig], calls: dict[str, int]) -> None:
    assert main(["train", "-m", *TINY, HERE, "discriminator.norm=none,layer", "seed=3,4"]) == 0
    assert [(config.discriminator.options["norm"], config.seed) for config in trained] == [
        ("none", 3),
        ("none", 4),
        ("layer", 3),
        ("layer", 4),
    ]
    assert calls["validated"] == 4
    assert calls["composed"] == 4 + 1 + 4  # Hydra composes its own settings, and each job again in its launcher


def test_variants_of_a_sweep_are_composed_and_validated_once(trained: list[RunConfig], calls: dict[str, int]) -> None:
    assert main(["sweep", "norms", "weights.rec=3", HERE]) == 1  # nothing was trained
    assert [(config.discriminator.options["norm"], config.seed, config.weights.rec) for config in trained] == [
        ("none", 0, 3.0),
        ("none", 1, 3.0),
        ("layer", 0, 3.0),
        ("layer", 1, 3.0),
    ]
    assert calls["validated"] == 2  # a variant for all of its seeds
    # to know whether the cells train on this machine, their one selection of YAML files, the launcher, and every job
    assert calls["composed"] == 1 + 1 + 1 + 4


def test_no_job_starts_when_one_is_invalid(
    trained: list[RunConfig], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-m", *TINY, HERE, "discriminator.depth=2,9"]) == 2
    assert trained == [] and not (here / "outputs").exists()
    assert capsys.readouterr().err.startswith("error: discriminator.depth")


def test_the_device_of_another_machine_is_not_checked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "experiments").mkdir()
    (here / "experiments" / "one.yaml").write_text(
        "base: [preset=tiny]\nclaim: None.\nbaseline: none\nprimary: eval/edit\nseeds: [0]\n"
        "variants: {none: [discriminator.norm=none], layer: [discriminator.norm=layer]}\n"
    )
    absent = f"trainer.device=cuda:{torch.cuda.device_count()}"
    assert main(["sweep", "one", absent, "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("error: trainer.device: ")
    assert main(["sweep", "one", absent, "--dry-run", "hydra/launcher=submitit_slurm"]) == 0
    ray = ["hydra/launcher=ray", "hydra.launcher.address=auto", "hydra.launcher.n_jobs=2"]
    assert main(["sweep", "one", absent, "--dry-run", *ray]) == 0
    path = here / "experiments" / "one.yaml"
    path.write_text(path.read_text().replace("[preset=tiny]", "[preset=tiny, hydra/launcher=submitit_slurm]"))
    assert main(["sweep", "one", absent, "--dry-run"]) == 0
    capsys.readouterr()
    assert main(["sweep", "one", absent, "--dry-run", "hydra/launcher=joblib"]) == 2, "the command line wins"
    assert capsys.readouterr().err.startswith("error: trainer.device: ")


def test_workers_receive_the_device_and_threads_of_the_command(trained: list[RunConfig]) -> None:
    """Both are part of the run id, and a worker may have other cores."""
    assert main(["train", "-m", *TINY, HERE, "seed=0,1", "trainer.threads=null", "trainer.device=auto"]) == 0
    assert {config.trainer.threads for config in trained} == {cpu_count()}
    assert {config.trainer.device for config in trained} == {"cuda" if torch.cuda.is_available() else "cpu"}


class OneByOne(Sweeper):
    """Launches each seed after the previous one has ended, as a sweeper that looks at results does."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        for seed in range(2):
            (job,) = self.launcher.launch([[*arguments, f"seed={seed}"]], initial_job_idx=seed)
            assert job.return_value == {"run_id": "none"}


def test_jobs_of_another_sweeper_are_validated_when_they_start(
    trained: list[RunConfig],
    calls: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugin = ModuleType("hydra_plugins.one_by_one")  # Hydra takes plugins from this namespace package only
    monkeypatch.setattr(plugin, "OneByOne", OneByOne, raising=False)
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    monkeypatch.setattr(hydra_plugins, "one_by_one", plugin, raising=False)
    monkeypatch.setattr(OneByOne, "__module__", plugin.__name__)
    Plugins.instance().register(OneByOne)
    node = {"_target_": "hydra_plugins.one_by_one.OneByOne"}
    ConfigStore.instance().store(group="hydra/sweeper", name="one_by_one", node=node, provider="test")
    store = "tracking.uri=http://lab:s3cretpw@127.0.0.1:1"
    assert main(["train", "-m", *TINY, HERE, "hydra/sweeper=one_by_one", store]) == 0
    assert [config.seed for config in trained] == [0, 1]
    assert {f"tracking.uri={config.tracking.uri}" for config in trained} == {store}
    written = [path.read_text() for path in Path("outputs").rglob("*.yaml")]
    assert any("lab" in text for text in written) and not any("s3cretpw" in text for text in written)
    assert calls["validated"] == 2
    assert main(["train", "-m", *TINY, HERE, "hydra/sweeper=one_by_one", "batch_size=0"]) == 2
    assert "error: batch_size" in capsys.readouterr().err


def test_other_jobs_continue_after_a_failure(
    trained: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: RunConfig, *_: Any, **__: Any) -> None:
        trained.append(config)
        if config.seed == 0:
            raise LabError("step 3: loss/d_real is nan")

    monkeypatch.setattr(stargan_lab.runs.run, "run", run)
    assert main(["train", "-m", *TINY, HERE, "seed=0,1"]) == 1
    assert [config.seed for config in trained] == [0, 1]
    assert capsys.readouterr().err.splitlines()[-1] == "error: step 3: loss/d_real is nan"


def test_an_unexpected_error_of_a_job_is_one_line_and_fails_the_sweep(
    trained: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    """Outside of training, which records its errors itself."""

    def run(config: RunConfig, *_: Any, **__: Any) -> None:
        trained.append(config)
        if config.seed == 0:
            raise KeyError("a bug")
        RunFolder(Path(config.paths.outputs) / "runs" / identity(config)).path.mkdir(parents=True)
        raise SystemExit(3)

    monkeypatch.setattr(stargan_lab.runs.run, "run", run)
    assert main(["sweep", "norms", HERE, "tracking.enabled=false", "hydra.sweep.dir=hydra"]) == 1
    error = capsys.readouterr().err
    assert len(trained) == 4 and "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("failed: ")]
    assert lines[0] == f"failed: KeyError: 'a bug'; traceback: {here / 'hydra' / '0' / 'traceback.txt'}"
    files = [path / "traceback.txt" for path in (here / "outputs" / "runs").iterdir()]
    assert "a bug" in (here / "hydra" / "0" / "traceback.txt").read_text()
    assert len(files) == 2 and all("SystemExit: 3" in file.read_text() for file in files)
    assert {line.partition("sys.exit(3); traceback: ")[2] for line in lines[1::2]} == {
        str(file.relative_to(here)) for file in files
    }


def test_a_sweep_fails_if_a_job_fails_after_its_run_has_finished(
    trained: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: RunConfig, *_: Any, **__: Any) -> None:
        folder = RunFolder(Path(config.paths.outputs) / "runs" / identity(config))
        folder.write_result({"status": "finished", "metrics": {}})
        if config.seed:
            raise RuntimeError("a bug")

    monkeypatch.setattr(stargan_lab.runs.run, "run", run)
    assert main(["sweep", "norms", HERE, "tracking.enabled=false"]) == 1
    assert main(["sweep", "norms", HERE, "tracking.enabled=false"]) == 0, "nothing is left"


@pytest.mark.parametrize(
    ("command", "retried"),
    [
        (["sweep", "norms", "seed=0"], False),
        (["sweep", "norms", "seed=0", "--retry-failed"], True),
        (["train", "-m", *TINY, "seed=0,1"], True),
    ],
)
def test_a_run_that_another_sweep_fails_is_not_trained_again_unless_told_to(
    here: Path,
    trained: list[RunConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    retried: bool,
) -> None:
    """The second run fails elsewhere after this command has planned both."""
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(stargan_lab.cli.report, "write_and_print", lambda *arguments: None)

    def train(trainer: Trainer) -> dict[str, Any]:
        trained.append(trainer.config)
        if len(trained) == 1:
            for path in (here / "outputs").glob("**/multirun.json"):
                (other,) = {*json.loads(path.read_text())["runs"]} - {trainer.folder.run_id}
            for path in (here / "outputs").glob("**/norms/cells.json"):
                (other,) = {cell[2] for cell in json.loads(path.read_text())["cells"]} - {trainer.folder.run_id}
            RunFolder(trainer.folder.path.with_name(other)).write_result({"status": "failed", "metrics": {}})
        return {}

    monkeypatch.setattr(Trainer, "run", train)
    main([*command, HERE, "tracking.enabled=false"])
    assert len(trained) == 1 + retried
    refused = [line for line in capsys.readouterr().err.splitlines() if "use --retry-failed to train it again" in line]
    assert len(refused) == 1 - retried


@pytest.mark.parametrize(
    "words", ["train preset=quickstart data=synthfaces", f"train -m preset=quickstart data=synthfaces seed=0,1 {HERE}"]
)
def test_image_size_of_a_preset_is_noted_once(
    trained: list[RunConfig], capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert main(words.split()) == 0
    note = "note: preset=quickstart sets data.image_size=32; the default of data=synthfaces is 64"
    assert capsys.readouterr().err.splitlines().count(note) == 1


def test_unsupported_flag_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config-path", "conf"]) == 2
    assert capsys.readouterr().err.startswith("error: --config-path is not supported")


def test_runs_of_a_multirun_are_named_by_what_differs(trained: list[RunConfig], here: Path) -> None:
    directory = here / "swept" / "12-00"
    overrides = ["discriminator.norm=none,layer", "adversarial=wgan,lsgan", "seed=0,1", f"hydra.sweep.dir={directory}"]
    assert main(["train", "-m", *TINY, HERE, *overrides]) == 0
    name = "multirun-swept-12-00"
    variants = [config.tracking.ablations[name] for config in trained]
    assert variants[::2] == [
        *("norm=none adversarial=wgan", "norm=none adversarial=lsgan"),
        *("norm=layer adversarial=wgan", "norm=layer adversarial=lsgan"),
    ]
    assert run_name(trained[1]) == "norm=none adversarial=wgan · seed 1"
    params = factors(trained[0], trained[0].tracking.factors)  # defaults too
    assert (params["discriminator.norm"], params["adversarial.name"]) == ("none", "wgan")
    multirun = read_multirun(directory)
    assert (multirun.name, multirun.by) == (name, ("discriminator.norm", "adversarial.name"))
    assert len(set(multirun.runs)) == 8


@pytest.mark.parametrize(
    ("overrides", "by", "variants", "baseline"),
    [
        ("preset=quickstart,tiny", ["preset"], ["preset=quickstart", "preset=tiny"], "preset=quickstart"),
        (
            "preset=tiny data=synthfaces,synthexpressions",
            ["data"],
            ["data=synthfaces", "data=synthexpressions"],
            "data=synthfaces",
        ),
        ("preset=tiny trainer=fast,default", ["trainer"], ["trainer=fast", "trainer=default"], "trainer=default"),
        (
            "preset=tiny,quickstart generator=unet,resnet",
            ["preset", "generator.name"],
            [f"preset={preset} generator={name}" for preset in ("tiny", "quickstart") for name in ("unet", "resnet")],
            "preset=tiny generator=unet",
        ),
    ],
)
def test_groups_of_a_multirun_are_named_by_their_choices(
    trained: list[RunConfig], here: Path, overrides: str, by: list[str], variants: list[str], baseline: str
) -> None:
    assert main(["train", "-m", HERE, *overrides.split()]) == 0
    assert [run_name(config) for config in trained] == [f"{name} · seed 0" for name in variants]
    params = [factors(config, config.tracking.factors) for config in trained]
    assert [" ".join(f"{key.removesuffix('.name')}={each[key]}" for key in by) for each in params] == variants
    multirun = read_multirun(directory := multirun_directory("latest", here / "outputs"))
    for identity, config in zip(multirun.runs, trained, strict=True):  # as training would leave them
        folder = RunFolder(here / "outputs" / "runs" / identity)
        folder.path.mkdir(parents=True)
        write_text(folder.config_path, yaml.safe_dump(config.flat(), sort_keys=False))
        folder.update_tags({f"ablation.{name}": variant for name, variant in config.tracking.ablations.items()})
        folder.write_result({"status": "finished", "metrics": {"eval/edit": 1.0}, "protocol": "p"})
    runs = runs_of(multirun, here / "outputs")
    unexplained = also_differing(runs, [*by, "seed"], list(multirun.choices[multirun.runs[0]]))
    assert [key for key in unexplained if not key.startswith("generator.")] == []  # the options of one generator
    ablation, cells = ablation_of(runs, multirun.by, multirun.name, "eval/edit")
    assert list(multirun.by) == by and ablation.baseline == baseline
    assert cells == [
        (config.tracking.ablations[multirun.name], config.seed, identity)
        for config, identity in zip(trained, multirun.runs, strict=True)
    ]
    view, ids, ordered = view_of(Namespace(name=None, multirun=str(directory)), here / "outputs")
    assert main(["report", "--multirun", "latest"]) == 0
    assert (view.ablation, ids, sorted(ordered)) == (multirun.name, list(multirun.runs), sorted(variants))


def test_a_multirun_over_seeds_is_one_variant(trained: list[RunConfig], here: Path) -> None:
    assert main(["train", "-m", *TINY, HERE, "seed=0,1"]) == 0
    assert [list(config.tracking.ablations.values()) for config in trained] == [["resnet"], ["resnet"]]
    assert read_multirun(multirun_directory("latest", here / "outputs")).by == ()


def test_a_multirun_that_does_not_exist(here: Path) -> None:
    with pytest.raises(ConfigError, match="no multirun in outputs/hydra; start one with train -m"):
        multirun_directory("latest", Path("outputs"))
    with pytest.raises(ConfigError, match=r"--multirun: nowhere has no multirun\.json"):
        multirun_directory("nowhere", Path("outputs"))


def test_a_sweep_determines_once_how_many_runs_fit(
    trained: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The free memory may have changed before the first run, and asking GPUs takes seconds."""
    answers, launched = iter([Capacity(2), Capacity(1)]), []
    monkeypatch.setattr("stargan_lab.cli.launcher_settings.capacity", lambda configs: next(answers))
    launch = "hydra_plugins.stargan_lab_launchers.processes.ProcessLauncher.launch"  # Hydra may import it once more
    monkeypatch.setattr(launch, lambda self, *_, **__: launched.append(self.n_jobs) or [])
    assert main(["sweep", "norms"]) == 1  # nothing was trained
    assert "4 runs, 2 at a time" in capsys.readouterr().err and launched == [2]
