"""Invalid commands: one line on stderr, exit code 2, and nothing written."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Lab, Outcome

pytestmark = pytest.mark.integration

MISSPELT_PRESET = "# @package _global_\ndefaults: [tiny]\nn_critc: 3\n"
MISSPELT_ABLATION = """\
base: [preset=tiny]
claim: One of the variants is better.
baseline: none
variants: {none: [discriminator.norm=none], layer: [discriminator.norm=layer]}
seeds: [0]
primry: eval/edit
"""
USER_FILES = {
    "conf/preset/mine.yaml": MISSPELT_PRESET,
    "experiments/broken.yaml": MISSPELT_ABLATION,
}

REFUSED = {
    "misspelt key": ("train preset=tiny discriminator.nrom=layer", ["discriminator.nrom", "'discriminator.norm'"]),
    "incompatible settings": ("train preset=tiny discriminator.depth=6", ["discriminator.depth", "image_size is 16"]),
    "unknown attribute": ("train preset=tiny data.sources.faces.attributes=[Mal]", ["attributes", "'Male'"]),
    "no CelebA": ("train", ["data/celeba", "list_attr_celeba.txt"]),
    "no GPU": ("train preset=tiny trainer.device=cuda", ["trainer.device", "cuda"]),
    "several devices without data": ("train preset=tiny data=celeba trainer.devices=2", ["data/celeba"]),
    "several GPUs on a machine without": (
        "train preset=tiny trainer.devices=2 trainer.device=cuda",
        ["trainer.device", "cuda is not available"],
    ),
    "a multirun on several devices": (
        "train -m preset=tiny trainer.devices=2 seed=0,1",
        ["trainer.devices: must be 1", "without -m"],
    ),
    "a sweep on several devices": (
        "sweep quickstart trainer.devices=2",
        ["trainer.devices: must be 1"],
    ),
    "missing weights": ("train preset=tiny evaluation.weights=no.pth evaluation.extractor=inception", ["no.pth"]),
    "misspelt key in a user's YAML": ("train --config-dir conf preset=mine", ["n_critc", "'n_critic'"]),
    "one invalid job of many": ("train -m preset=tiny discriminator.norm=none,laier", ["'laier'", "'layer'"]),
    "unknown launcher": ("train -m preset=tiny hydra/launcher=basc seed=0,1", ["hydra/launcher", "basic"]),
    "unknown flag of train": ("train preset=tiny --dry-run", ["--dry-run"]),
    "unknown flag of sweep": ("sweep quickstart --dryrun", ["--dryrun"]),
    "unknown command": ("swep quickstart", ["swep", "sweep"]),
    "misspelt key in an ablation": ("sweep broken", ["experiments/broken.yaml", "primry", "'primary'"]),
}


@dataclass(frozen=True)
class Refusal:
    outcome: Outcome
    written: set[str]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Refusal]:
    """The result of every command, each in its own folder, two at a time."""

    def refuse(words: str, folder: Path) -> Refusal:
        lab = Lab(folder)
        for name, text in USER_FILES.items():
            lab.write(name, text)
        before = lab.files()
        outcome = lab(*words.split())
        written = lab.files() - before
        shutil.rmtree(lab.folder)
        return Refusal(outcome, written)

    commands = [words for words, _ in REFUSED.values()]
    folders = [tmp_path_factory.mktemp("refused") for _ in commands]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(REFUSED, pool.map(refuse, commands, folders), strict=True))


@pytest.mark.parametrize("kind", REFUSED)
def test_invalid_command_is_refused_in_one_line_and_writes_nothing(refusals: dict[str, Refusal], kind: str) -> None:
    outcome = refusals[kind].outcome
    assert outcome.out == ""
    assert len(outcome.lines()) == 1, outcome.err
    assert outcome.err.startswith("error: ")
    assert outcome.code == 2
    for part in REFUSED[kind][1]:
        assert part in outcome.err
    assert refusals[kind].written == set()
