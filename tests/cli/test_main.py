"""The command line, up to the start of a command's work."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import stargan_lab
from stargan_lab.cli import evaluate
from stargan_lab.cli import list as list_
from stargan_lab.cli.main import build_parser, main

HEAVY = ("torch", "mlflow", "hydra", "omegaconf", "matplotlib", "pandas", "numpy", "pydantic", "PIL")


@pytest.fixture(autouse=True)
def _restore_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stargan-lab"])


def exit_code(arguments: list[str]) -> int:
    """argparse exits through SystemExit."""
    try:
        return main(arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)


def test_building_the_parser_imports_nothing_heavy() -> None:
    code = f"import sys, stargan_lab.cli.main as c; c.build_parser(); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"stargan-lab {stargan_lab.__version__}\n"


def test_every_command_has_a_summary_and_help_for_each_argument(capsys: pytest.CaptureFixture[str]) -> None:
    commands = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert {choice.dest for choice in commands._choices_actions if choice.help} == set(commands.choices)
    for name, parser in commands.choices.items():
        if name == "train":  # Hydra prints its help
            continue
        assert [a.dest for a in parser._actions if not (a.help or a.choices)] == [], name
        assert exit_code([name, "--help"]) == 0
        assert f"stargan-lab {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (evaluate, ["evaluate", "3f2a", "--again", "evaluation.max_images=4"], ["3f2a", "evaluation.max_images=4"]),
        (list_, ["list", "norm", "--format", "md", "imports=[mine]"], ["norm", "imports=[mine]"]),
    ],
    ids=["evaluate", "list"],
)
def test_words_before_and_after_flags_reach_the_command(
    command: object, arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    received = []
    monkeypatch.setattr(command, "run", lambda args: received.append(args.words) or 0)
    assert main(arguments) == 0
    assert received == [words]


ABLATION = "{{base: [preset=tiny], claim: None., baseline: {0}, variants: {1}, seeds: [0], primary: eval/edit}}"
USER_ABLATIONS = {
    "typo": ABLATION.format("none", "{none: [discriminator.norm=none], other: [discriminator.norm=laier]}"),
    "twins": ABLATION.format("a", "{a: [discriminator.norm=none], b: [lipschitz.weight=10]}"),
    "short": "{claim: None., baseline: a, variants: {a: [seed=0], b: [seed=1]}, seeds: [0]}",
    "broken": "claim: [",
}

INVALID = [
    ([], ["COMMAND"]),
    (["swep"], ["unknown command 'swep'; did you mean 'sweep'?"]),
    (["sweep", "quickstart", "--dryrun"], ["unknown flag '--dryrun'; did you mean '--dry-run'?"]),
    (["data", "mak"], ["action: unknown choice 'mak'; did you mean 'make'?"]),
    (["ui", "a", "b"], ["unexpected argument 'b'"]),
    (["evaluate"], ["RUN_ID"]),
    (["fid", "experiment", "b"], ["experiment: ", "'experiments'"]),
    (["train", "--nosuchflag"], ["--nosuchflag"]),
    (["train", "sed=1"], ["sed", "'seed'"]),
    (["train", "-m", "preset=tiny", "lipschitz=gp,gpp"], ["lipschitz", "'gp'"]),
    (["train"], ["data/celeba"]),
    (["sweep", "quikstart"], ["'quickstart'"]),
    (["sweep", "quickstart", "discriminator.norm=none"], ["discriminator.norm"]),
    (["sweep", "typo"], ["typo", "variant other", "'layer'"]),
    (["sweep", "twins"], ["variants a and b", "have the same configuration"]),
    (["sweep", "broken"], ["experiments/broken.yaml", "YAML"]),
    (["sweep", "short"], ["experiments/short.yaml", "primary: missing"]),
    (["report", "quickstart", "--format", "md,pdf"], ["--format", "pdf"]),
]


@pytest.mark.parametrize(("arguments", "parts"), INVALID, ids=lambda value: " ".join(value))
def test_invalid_input_prints_one_line_and_exits_with_2(
    arguments: list[str], parts: list[str], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "experiments").mkdir()
    for name, text in USER_ABLATIONS.items():
        (here / "experiments" / f"{name}.yaml").write_text(text)
    code = exit_code(arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for part in parts:
        assert part in err
    assert code == 2
    assert [path.name for path in here.iterdir()] == ["experiments"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "quickstart"], "outputs: no finished runs of quickstart; run `stargan-lab sweep quickstart` first"),
        (["ui"], "outputs/runs: no runs yet"),
    ],
    ids=["report", "ui"],
)
def test_failures_print_one_line_and_exit_with_1(
    arguments: list[str], message: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(arguments) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}") and err.count("\n") == 1, err
    assert [path.name for path in here.iterdir()] == []


def test_a_closed_pipe_ends_quietly() -> None:
    command = f"{sys.executable} -m stargan_lab list --format md | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


SIGNALLED = """\
import os, signal, sys
from stargan_lab.cli import main, ui
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
def dispatch(arguments):
    if arguments == ["ui"]:
        server = f"import os, sys, time; os.kill({os.getpid()}, {signal.SIGHUP}); time.sleep(2); sys.exit(7)"
        return ui._serve([sys.executable, "-c", server], {})
    try:
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)  # the kernel's, after that of the shell
    return 0
main._dispatch = dispatch
sys.exit(main.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("handling", "command", "code", "message"),
    [
        ("SIG_DFL", "report", 129, "interrupted\n"),
        ("SIG_IGN", "report", 0, ""),
        ("SIG_DFL", "ui", 0, ""),
        ("SIG_IGN", "ui", 7, ""),  # of its server, which ends later
    ],
    ids=["closed terminal", "nohup", "closed terminal of ui", "nohup of ui"],
)
def test_a_closed_terminal_ends_a_command_unless_it_was_started_with_nohup(
    handling: str, command: str, code: int, message: str
) -> None:
    run = [sys.executable, "-c", SIGNALLED, handling, command]
    done = subprocess.run(run, capture_output=True, text=True, stdin=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (code, message)


def test_the_command_ends_like_any_program_with_handlers_threads_and_output() -> None:
    script = (
        "import atexit, sys, threading, time\n"
        "atexit.register(print, 'handler')\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"
        "sys.argv = ['stargan-lab', *sys.argv[1:]]\n"
        "from stargan_lab.__main__ import command\n"
        "command()"
    )
    for arguments, code, first in ((["--version"], 0, "stargan-lab"), (["list", "nonsense"], 2, "thread")):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        assert done.returncode == code
        assert lines[0].startswith(first)
        assert lines[-2:] == ["thread", "handler"]
