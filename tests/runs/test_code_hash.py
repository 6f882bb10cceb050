"""The code hash covers every module that can change a result, the user's too; user components follow the seed."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import stargan_lab
from stargan_lab import build_networks, compose
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.registry import family
from stargan_lab.runs.provenance import code_hash

LAYOUT = LabelLayout((LabelSpec("faces", ("Male", "Young")),))
NOT_HASHED = (
    "cli/",
    "figures/",
    "inspection/",
    "report/",
    "toy/",
    "console.py",
    "tracking/ui.py",
)
NOT_HASHED += ("conf/", "experiments/")
"""Modules that only display, and the packages of YAML files, which a wheel has inside ``stargan_lab``."""


def test_an_edit_changes_the_hash_unless_the_module_cannot_change_results(tmp_path: Path) -> None:
    package = tmp_path / "stargan_lab"
    shutil.copytree(Path(stargan_lab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def current() -> str:
        code_hash.cache_clear()
        return code_hash((), package)

    before, edited = current(), {True: 0, False: 0}
    assert before == code_hash()
    for path in sorted(package.rglob("*.py")):
        source = path.read_bytes()
        path.write_bytes(source + b"# edited\n")
        changed = current() != before
        path.write_bytes(source)
        not_hashed = path.relative_to(package).as_posix().startswith(NOT_HASHED)
        assert changed != not_hashed, path
        edited[not_hashed] += 1
    assert min(edited.values()) > 10
    (package / "conf").mkdir(exist_ok=True)
    (package / "conf" / "__init__.py").write_text("")
    assert current() == before
    (package / "models" / "extra.py").write_text("")
    assert current() != before
    code_hash.cache_clear()


class Noisy(nn.Module):
    """Initialized without ``reset_parameters``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


@pytest.fixture
def noisy() -> object:
    norm = family("norm")

    def build(channels: int, affine: bool) -> nn.Module:
        """A norm with random scales."""
        return Noisy(channels)

    norm.register("noisy")(build)
    yield
    del norm._entries["noisy"]


def test_random_initial_values_of_a_user_component_follow_the_seed(noisy: object) -> None:
    def initial(seed: int) -> torch.Tensor:
        config = compose(["preset=tiny", "generator.norm=noisy", f"seed={seed}"])
        return build_networks(config, LAYOUT)[0].main[1].weight

    torch.manual_seed(1)
    first = initial(0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(initial(0), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(initial(1), first)


def test_every_module_of_a_user_package_is_hashed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "user_package").mkdir()
    (here / "user_package" / "__init__.py").write_text("from user_package import norms\n")
    module = here / "user_package" / "norms.py"
    module.write_text("SIZE = 1\n")
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    compose(["preset=tiny", "imports=[user_package]"])
    before = code_hash(("user_package",))
    module.write_text("SIZE = 2\n")
    code_hash.cache_clear()
    assert code_hash(("user_package",)) != before
    assert before != code_hash()


def test_a_folder_that_is_not_a_package_is_refused(here: Path) -> None:
    (here / "just_a_folder").mkdir()
    with pytest.raises(ConfigError, match=r"imports: 'just_a_folder' is a directory without __init__\.py"):
        compose(["preset=tiny", "imports=[just_a_folder]"])
