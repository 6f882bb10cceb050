"""Whatever is wrong with a command: one line on stderr, exit code 2, and nothing written."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Lab, Outcome

pytestmark = pytest.mark.integration

MISSPELT_PRESET = "# @package _global_\ndefaults: [tiny]\nn_critc: 3\n"
MISSPELT_EXPERIMENT = """\
base: [preset=tiny]
claim: One of the variants is better.
baseline: none
variants: {none: [discriminator.norm=none], layer: [discriminator.norm=layer]}
seeds: [0]
primry: eval/edit
"""
USERS_FILES = {
    "conf/preset/mine.yaml": MISSPELT_PRESET,
    "experiments/broken.yaml": MISSPELT_EXPERIMENT,
    "weights.pth": "no weights",
}

REFUSED = {
    "a misspelt key": ("train preset=tiny discriminator.nrom=layer", ["discriminator.nrom", "'discriminator.norm'"]),
    "a wrong type": ("train preset=tiny seed=abc", ["seed", "an integer", "'abc'"]),
    "out of range": ("train preset=tiny batch_size=0", ["batch_size", "at least 1"]),
    "an unknown component": ("train preset=tiny lipschitz=gpp", ["lipschitz", "'gp'"]),
    "an illegal pair": ("train preset=tiny discriminator.depth=6", ["discriminator.depth", "data.image_size is 16"]),
    "an unknown attribute": ("train preset=tiny data.sources.faces.attributes=[Mal]", ["attributes", "'Male'"]),
    "no CelebA": ("train", ["data/celeba", "list_attr_celeba.txt"]),
    "no GPU": ("train preset=tiny trainer.device=cuda", ["trainer.device", "cuda"]),
    "no such weights": ("train preset=tiny evaluation.weights=no.pth evaluation.extractor=inception", ["no.pth"]),
    "a misspelt key of a user's YAML": ("train --config-dir conf preset=mine", ["n_critc", "'n_critic'"]),
    "one bad job of many": ("train -m preset=tiny discriminator.norm=none,laier seed=0,1", ["'laier'", "'layer'"]),
    "no such launcher": ("train -m preset=tiny hydra/launcher=basc seed=0,1", ["hydra/launcher", "basic"]),
    "a misspelt key of Hydra's": ("train preset=tiny hydra.rum.dir=x", ["hydra.rum"]),
    "a flag train has not": ("train preset=tiny --dry-run", ["--dry-run"]),
    "a flag sweep has not": ("sweep quickstart --dryrun", ["--dryrun"]),
    "an unknown command": ("swep quickstart", ["swep", "sweep"]),
    "a misspelt key of an experiment": ("sweep broken", ["experiments/broken.yaml", "'primry'", "'primary'"]),
    "an unknown format": ("report quickstart --format pdf", ["--format", "pdf", "html"]),
}


@dataclass(frozen=True)
class Refusal:
    outcome: Outcome
    written: set[str]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Refusal]:
    """Every command of REFUSED, each in a folder of its own, two at a time."""

    def refuse(words: str, folder: Path) -> Refusal:
        lab = Lab(folder)
        for name, text in USERS_FILES.items():
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
def test_a_bad_command_is_refused_in_one_line(refusals: dict[str, Refusal], kind: str) -> None:
    outcome = refusals[kind].outcome
    assert outcome.out == ""
    assert len(outcome.lines()) == 1, outcome.err
    assert outcome.err.startswith("error: ")
    assert outcome.code == 2
    for part in REFUSED[kind][1]:
        assert part in outcome.err


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_command_writes_nothing(refusals: dict[str, Refusal], kind: str) -> None:
    assert refusals[kind].written == set()
