"""What completion reads off sources and YAML files without importing them is what registries and Hydra say."""

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hydra._internal.utils import get_args_parser
from pydantic import BaseModel

from stargan_lab.cli import outline
from stargan_lab.cli.completion import FILES, TRAIN_FLAGS, answer
from stargan_lab.cli.main import main as cli
from stargan_lab.cli.overrides import Overrides
from stargan_lab.config.compose import compose_raw
from stargan_lab.config.schema import COMPONENTS, REFERENCES, RunConfig
from stargan_lab.registry import families, family

ROOT = Path(__file__).parents[2]
BREAKS = " \t\n\"'><=;|&(:"
"""Bash's usual COMP_WORDBREAKS."""

HEAVY = ("torch", "hydra", "omegaconf", "pydantic", "numpy", "mlflow")


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    return cli._parser()


def test_names_are_those_of_the_registries() -> None:
    found = outline.registered()
    assert {name: sorted(entries) for name, entries in found.items()} == {n: family(n).names() for n in families()}


def test_options_and_their_values_are_those_of_the_signatures() -> None:
    found = outline.registered()
    for name in families():
        for entry in family(name).names():
            options = family(name).options(entry)
            assert set(found[name][entry]) == set(options), (name, entry)
            for key, parameter in options.items():
                expected = _few(parameter.annotation)
                assert expected is None or found[name][entry][key] == expected, (name, entry, key)


def test_the_schemas_values_are_those_of_its_models() -> None:
    found, seen = outline.schema(), 0
    for section, annotation in get_type_hints(RunConfig).items():
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and section not in COMPONENTS:
            for key, inner in get_type_hints(annotation).items():
                expected = _few(inner)
                assert expected is None or found[f"{section}.{key}"] == expected
                seen += expected is not None
    assert seen > 3
    assert outline.references() == REFERENCES


def _few(annotation: object) -> tuple[str, ...] | None:
    """The values of a bool or a Literal; None for any other type."""
    if annotation is bool:
        return ("true", "false")
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else None


@pytest.mark.parametrize("words", [[], ["preset=tiny"], ["generator=unet", "preset=small"], ["data=joint_calm"]])
def test_keys_are_those_that_hydra_composes(words: list[str]) -> None:
    composed = compose_raw(words)
    known, pending = [], [""]
    while pending:
        for word in Overrides(words).candidates(pending.pop()):
            (pending if word.endswith(".") else known).append(word)
    groups = {word for word in known if "." not in word and word[:-1] not in ("seed", "imports")}
    keys = {word[:-1] for word in known} - {"hydra/launcher", "preset", *COMPONENTS, "data", "trainer"}
    keys -= {"evaluation", "tracking"}
    assert "generator=" in groups
    assert keys == {key for key in _dotted(composed) if not key.endswith(".name") or key.count(".") > 1}


def _dotted(config: object, prefix: str = "") -> set[str]:
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(config) if not prefix else config  # type: ignore[arg-type]
    keys = set()
    for key, value in raw.items():  # type: ignore[union-attr]
        keys |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}"}
    return keys


def test_trains_flags_are_hydras() -> None:
    hydras = {flag for action in get_args_parser()._actions for flag in action.option_strings}
    assert set(TRAIN_FLAGS) <= hydras
    assert {flag for flag in hydras if flag.startswith("--")} <= set(TRAIN_FLAGS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sw", ["sweep"]),
        ("train preset=", sorted(path.stem for path in (ROOT / "conf" / "preset").glob("*.yaml"))),
        ("train preset=qu", ["quickstart"]),
        ("train generator.padding=", family("padding").names()),
        ("train discriminator.norm=layer,b", ["layer,batch"]),
        ("train discriminator.norm=layer,la", []),
        ("train lipschitz.reduction=", ["mean", "sum"]),
        ("train lipschitz=none lipschitz.", []),
        ("train +generator.pad", ["+generator.padding="]),
        ("train trainer.compile=", ["false", "true"]),
        ("train preset=tiny data.sources.f", ["data.sources.faces."]),
        ("train preset=tiny data.sources.faces.split=", ["official", "reference"]),
        ("train data.sources.celeba.root=", [FILES]),
        ("train --cfg ", ["all", "hydra", "job"]),
        ("train --config-d", ["--config-dir"]),
        ("train --config-dir ", [FILES]),
        ("train 'discriminator.no", ["discriminator.norm=", "discriminator.norm_affine="]),
        ("train hydra/launcher=ba", ["basic"]),
        ("data ", ["check", "make", "pack"]),
        ("data make data=sy", ["synthexpressions", "synthfaces", "synthfaces_calm", "synthfaces_tiny"]),
        ("sweep ", ["quickstart"]),
        ("sweep quickstart --dry", ["--dry-run"]),
        ("sweep quickstart --dry-run trainer.precision=", ["bfloat16", "float32", "float64"]),
        ("report quickstart --format md,c", ["md,csv"]),
        ("report quickstart --from ", [FILES]),
        ("list discriminator.", ["discriminator.head", "discriminator.norm"]),
        ("list norm ", ["imports="]),
        ("completion ", ["bash"]),
        ("fid ", [FILES]),
        ("fid real fa", [FILES]),
        ("fid real fake ", []),
        ("fid real fake --features ", family("extractor").names()),
        ("fid real fake --dims 1", ["192"]),
        ("fid --weights ", [FILES]),
        ("fid --allow", ["--allow-unverified"]),
        ("evaluate --of ", ["quickstart"]),
        ("evaluate --ag", ["--again"]),
        ("evaluate 3f2a ev", ["evaluation."]),
        ("evaluate 3f2a evaluation.extractor=pi", ["pixels"]),
        ("evaluate 3f2a discriminator.norm=", []),
        ("nosuchcommand ", []),
        ("train nosuchgroup=", []),
        ("train generator.nosuch.key", []),
    ],
)
def test_what_may_come_next(parser: ArgumentParser, here: Path, line: str, words: list[str]) -> None:
    assert answer(parser, f"stargan-lab {line}", BREAKS) == words


def test_without_word_breaks_the_whole_word_is_replaced(parser: ArgumentParser) -> None:
    assert answer(parser, "stargan-lab train discriminator.norm=none,lay", "") == ["discriminator.norm=none,layer"]
    assert answer(parser, "stargan-lab train discriminator.norm=none,lay", ",=") == ["layer"]


def test_files_of_ones_own_are_offered(parser: ArgumentParser, here: Path) -> None:
    files = {
        "experiments/try.yaml": "claim: x\n",
        "conf/preset/mine.yaml": "# @package _global_\ndefaults: [tiny]\nextra: {deep: true}\n",
        "my_norms.py": 'from stargan_lab.registry import family\n@family("norm").register("my_own")\ndef f(): 0\n',
        "outputs/runs/0123456789ab/config.yaml": "seed: 0\n",
    }
    for name, text in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)

    def ask(line: str) -> list[str]:
        return answer(parser, f"stargan-lab {line}", BREAKS)

    assert ask("sweep t") == ["try"]
    assert ask("translate 01") == ask("export 01") == ["0123456789ab"]
    assert ask("evaluate 01") == ask("evaluate 4567 01") == ["0123456789ab"]
    assert ask("translate 0123456789ab my_p") == [FILES]
    assert ask("translate --outputs elsewhere 01") == [FILES]
    assert ask("train --config-dir conf preset=m") == ["mine"]
    assert ask("train --config-dir=conf preset=mine data.sources.") == ["data.sources.faces."]
    assert ask("train --config-dir conf preset=mine extra.") == ["extra.deep="]
    assert ask("train imports=[my_norms] generator.norm=my") == ["my_own"]
    assert "my_norms" not in sys.modules


def test_an_error_says_nothing_and_ends_well(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "conf" / "preset").mkdir(parents=True)
    (here / "conf" / "preset" / "mine.yaml").write_text("a: [\n")
    for line in ("stargan-lab train --config-dir conf preset=mine gen", "", "stargan-lab 'tr", "stargan-lab train \\"):
        assert cli.main(["__complete", line, BREAKS]) == 0
    assert cli.main(["__complete"]) == 0
    assert capfd.readouterr().err == ""


def test_nothing_heavy_is_imported() -> None:
    line = "stargan-lab train preset=tiny generator.norm="
    code = (
        "import sys; from stargan_lab.cli.main import main;"
        f"main(['__complete', {line!r}, '=']); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*family("norm").names(), "[]"]
