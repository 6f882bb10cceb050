"""The command line up to where a command starts its work."""

import subprocess
import sys
from pathlib import Path

import pytest

import stargan_lab
from stargan_lab.cli.main import main
from stargan_lab.cli.main import main as cli

HEAVY = ("torch", "mlflow", "hydra", "omegaconf", "matplotlib", "pandas", "numpy", "pydantic", "PIL")


@pytest.fixture(autouse=True)
def _arguments_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stargan-lab"])


def code_of(arguments: list[str]) -> int:
    """The exit code; argparse leaves through SystemExit."""
    try:
        return main(arguments)
    except SystemExit as left:
        return int(left.code or 0)


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, stargan_lab.cli.main as c; c._parser(); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["--version"]) == 0
    assert capsys.readouterr().out == f"stargan-lab {stargan_lab.__version__}\n"


@pytest.mark.parametrize(
    "command", ["sweep", "report", "evaluate", "fid", "data", "track", "ui", "export", "translate"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of([command, "--help"]) == 0
    assert f"stargan-lab {command}" in capsys.readouterr().out


def test_overrides_may_stand_before_and_after_flags() -> None:
    parsed, rest = cli._parser().parse_known_args(["sweep", "quickstart", "seed=0", "--dry-run", "total_steps=2"])
    assert (parsed.name, parsed.dry_run, parsed.overrides, rest) == (
        "quickstart",
        True,
        ["seed=0"],
        ["total_steps=2"],
    )


def test_words_behind_flags_reach_the_commands_that_take_words(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(cli, "_late", lambda place: lambda parsed: seen.append(parsed.words) or 0)
    assert main(["evaluate", "3f2a", "--again", "evaluation.max_images=4"]) == 0
    assert main(["list", "norm", "--format", "md", "imports=[mine]"]) == 0
    assert seen == [["3f2a", "evaluation.max_images=4"], ["norm", "imports=[mine]"]]


EXPERIMENT = "{{base: [preset=tiny], claim: None., baseline: {0}, variants: {1}, seeds: [0], primary: eval/edit}}"
USERS_EXPERIMENTS = {
    "typo": EXPERIMENT.format("none", "{none: [discriminator.norm=none], other: [discriminator.norm=laier]}"),
    "twins": EXPERIMENT.format("a", "{a: [discriminator.norm=none], b: [lipschitz.weight=10]}"),
    "short": "{claim: None., baseline: a, variants: {a: [seed=0], b: [seed=1]}, seeds: [0]}",
    "broken": "claim: [",
}

REFUSED = [
    ([], ["COMMAND"]),
    (["swep"], ["swep", "sweep"]),
    (["sweep"], ["NAME"]),
    (["sweep", "quickstart", "--dryrun"], ["--dryrun"]),
    (["report", "quickstart", "stray=1", "--nope"], ["--nope"]),
    (["data", "draw"], ["draw", "make"]),
    (["evaluate"], ["RUN_ID"]),
    (["fid", "real"], ["FAKE"]),
    (["fid", "experiment", "b"], ["experiment: no such folder", "'experiments'"]),
    (["ui", "--port", "abc"], ["--port", "abc"]),
    (["ui", "a", "b"], ["b"]),
    (["train", "--nosuchflag"], ["--nosuchflag"]),
    (["train", "sed=1"], ["sed", "'seed'"]),
    (["train", "preset=tiny", "batch_size=0"], ["batch_size", "at least 1"]),
    (["train", "preset=tniy"], ["preset", "'tiny'"]),
    (["train", "-m", "preset=tiny", "seed=0,x"], ["seed", "'x'"]),
    (["train", "-m", "preset=tiny", "lipschitz=gp,gpp"], ["lipschitz", "'gp'"]),
    (["train", "-m", "preset=tiny", "seed=range(0,"], ["seed"]),
    (["train", "--config-dir", "nowhere", "preset=tiny"], ["nowhere"]),
    (["train"], ["data/celeba"]),
    (["sweep", "quikstart"], ["'quickstart'"]),
    (["sweep", "quickstart", "seed=a"], ["seed", "'a'"]),
    (["sweep", "quickstart", "discriminator.norm=none"], ["discriminator.norm"]),
    (["sweep", "quickstart", "discriminatr.depth=2"], ["discriminatr.depth", "'discriminator'"]),
    (["sweep", "typo"], ["typo", "variant other", "'layer'"]),
    (["sweep", "twins"], ["variants a and b", "the same configuration"]),
    (["sweep", "broken"], ["experiments/broken.yaml", "YAML"]),
    (["sweep", "short"], ["experiments/short.yaml", "'primary' is missing"]),
    (["report", "quikstart"], ["'quickstart'"]),
    (["report", "quickstart", "--format", "md,pdf"], ["--format", "pdf"]),
    (["data", "make", "data=synthface"], ["data", "'synthfaces'"]),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda value: " ".join(value))
def test_what_is_refused_takes_one_line_and_code_2(
    arguments: list[str], said: list[str], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "experiments").mkdir()
    for name, text in USERS_EXPERIMENTS.items():
        (here / "experiments" / f"{name}.yaml").write_text(text)
    code = code_of(arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for part in said:
        assert part in err
    assert code == 2
    assert [path.name for path in here.iterdir()] == ["experiments"]


FAILED = [
    (["report", "quickstart"], "outputs: no finished run of quickstart; `stargan-lab sweep quickstart` trains them"),
    (["ui"], "outputs/runs: no runs yet"),
    (["report", "quickstart", "--from", "nope.csv"], "nope.csv: cannot be read as CSV"),
]


@pytest.mark.parametrize(("arguments", "said"), FAILED, ids=lambda value: " ".join(value) if value else "")
def test_what_cannot_be_done_takes_one_line_and_code_1(
    arguments: list[str], said: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(arguments) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"error: {said}") and err.count("\n") == 1, err
    assert list(here.iterdir()) == []
