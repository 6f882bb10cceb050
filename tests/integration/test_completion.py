"""Tab completion as bash runs it: the script of argcomplete, and a fresh process per Tab."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import SCRIPT

pytestmark = pytest.mark.integration

DRIVER = """\
eval "$(register-python-argcomplete stargan-lab)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete stargan-lab "${1##* }" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


def press_tab(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "--noprofile", "--norc", "-c", DRIVER, "bash", line]
    environment = os.environ | {"PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stargan-lab tr", ["track", "train", "translate"]),
        ("stargan-lab train preset=ti", ["tiny "]),
        ("stargan-lab train seed=1 -m adversarial=wgan,hin", ["wgan,hinge "]),
        ("stargan-lab train lipschitz.one", ["lipschitz.one_sided="]),
        ("stargan-lab sweep qui", ["quickstart "]),
        ("stargan-lab sweep quickstart seed=0 --d", ["--dry-run "]),
        ("stargan-lab data che", ["check "]),
        ("stargan-lab train nosuch.key.of=an", [""]),
        ("stargan-lab train 'unfinished", [""]),
    ],
)
def test_bash_receives_the_candidates(tmp_path: Path, line: str, words: list[str]) -> None:
    done = press_tab(tmp_path, line)
    assert sorted(done.stdout.splitlines()) == words
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import atexit, os, sys; os._exit = sys.exit;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from stargan_lab.cli.main import main; main()"
    )
    line, answer = "stargan-lab train generator.", tmp_path / "answer"
    request = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    environment = os.environ | request | {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "generator.norm=" in answer.read_text()
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "argcomplete" in loaded
    assert loaded.isdisjoint({"torch", "torchvision", "hydra", "omegaconf", "mlflow", "pydantic", "matplotlib"})
