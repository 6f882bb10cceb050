"""TAB in a real bash: what the prompt offers, what it inserts, and how long it takes."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import SCRIPT

from stargan_lab.registry import family

pytestmark = pytest.mark.integration


DRIVER = """\
eval "$(stargan-lab completion bash)"
complete -p stargan-lab
ask() {
    COMP_LINE="$1" COMP_POINT=${#1} COMPREPLY=()
    _stargan_lab "${1%% *}" "${1##* }" ""
    echo "[${COMPREPLY[*]}]"
}
"""


def bash(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "--noprofile", "--norc", "-c", DRIVER + script]
    return subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=120)


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{SCRIPT.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "READY> "}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stargan-lab comp", "completion"),
        ("stargan-lab train preset=ti", "tiny"),
        ("stargan-lab train -m discriminator.norm=none,lay", "none,layer"),
        ("stargan-lab train generator.norm=", " ".join(family("norm").names())),
        ("stargan-lab sweep qui", "quickstart"),
        ("stargan-lab sweep quickstart --d", "--dry-run"),
        (f"{SCRIPT} train lipschitz.one", "lipschitz.one_sided="),
        ("stargan-lab train nosuch.key.of=an", ""),
        ("stargan-lab train 'unfinished", ""),
    ],
)
def test_bash_gets_the_words(tmp_path: Path, line: str, words: str) -> None:
    done = bash(tmp_path, f'ask "{line}"')
    assert done.stdout.splitlines() == ["complete -F _stargan_lab stargan-lab", f"[{words}]"]
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_without_the_command_the_prompt_stays_clean(tmp_path: Path) -> None:
    done = bash(tmp_path, 'ask "/nowhere/stargan-lab train pre"')
    assert (done.stdout.splitlines()[1:], done.stderr) == (["[]"], "")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("stargan-lab sw\tqui\t--dry\t", "stargan-lab sweep quickstart --dry-run "),
        ("stargan-lab train discriminator.norm=ins\tseed=1", "stargan-lab train discriminator.norm=instance seed=1"),
        ("stargan-lab train discriminator.norm=none,lay\t", "stargan-lab train discriminator.norm=none,layer "),
        ("stargan-lab train ema\tdec\t0.9", "stargan-lab train ema.decay=0.9"),
        ("stargan-lab train data.sources.celeba.root=my_f\t", "stargan-lab train data.sources.celeba.root=my_folder/"),
        ("stargan-lab train nosuch\t=1", "stargan-lab train nosuch=1"),
    ],
)
def test_what_tab_inserts_at_a_prompt(tmp_path: Path, typed: str, line: str) -> None:
    """The line is turned into an ``echo`` before it is entered, so that it is shown and not run."""
    (tmp_path / "my_folder").mkdir()
    with _prompt(tmp_path) as say:
        say('eval "$(stargan-lab completion bash)"\n')
        for part in re.split(r"(?<=\t)", typed):
            say(part, wait=3.0 if part.endswith("\t") else 0.0)
        shown = say("'\x01echo 'LINE: \n", until="\nLINE: ") + say("\n")  # the prompt is drawn anew while it is edited
    assert f"\nLINE: {line}\n" in shown.replace("\r", ""), shown


@contextmanager
def _prompt(folder: Path) -> Iterator:
    """An interactive bash; ``say`` types something and returns what the terminal then shows."""
    main, other = pty.openpty()
    command = ["bash", "--noprofile", "--norc", "-i"]
    process = subprocess.Popen(
        command, cwd=folder, env=_environment(), stdin=other, stdout=other, stderr=other, start_new_session=True
    )
    os.close(other)

    def read(until: str | None, seconds: float) -> str:
        shown, deadline = "", time.monotonic() + seconds
        while time.monotonic() < deadline and (until is None or until not in shown):
            if select.select([main], [], [], 0.05)[0]:
                shown += os.read(main, 65536).decode(errors="replace")
        return shown

    def say(text: str, wait: float | None = None, until: str = "READY> ") -> str:
        os.write(main, text.encode())
        return read(until, 30) if wait is None else read(None, wait)

    try:
        read("READY> ", 30)
        yield say
    finally:
        process.kill()
        process.wait()
        os.close(main)


def test_a_tab_imports_nothing_heavy(tmp_path: Path) -> None:
    """What makes it quick: names are read off sources and YAML."""
    seen = "import sys; from stargan_lab.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", seen, "__complete", "stargan-lab train generator.norm=", "="]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert "instance" in done.stdout
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "stargan_lab" in loaded
    assert loaded.isdisjoint({"torch", "torchvision", "hydra", "omegaconf", "mlflow", "pydantic", "matplotlib"})
