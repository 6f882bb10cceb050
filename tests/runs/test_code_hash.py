"""One's own modules: their sources count as code, and what they draw themselves has the run's seed."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from stargan_lab import build_networks, compose
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.registry import family
from stargan_lab.runs.provenance import code_hash

LAYOUT = LabelLayout((LabelSpec("faces", ("Male", "Young")),))


class Noisy(nn.Module):
    """Draws its start without ``reset_parameters``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


@pytest.fixture
def noisy() -> object:
    norm = family("norm")

    def build(channels: int, affine: bool) -> nn.Module:
        """A norm of random scales."""
        return Noisy(channels)

    norm.register("noisy")(build)
    yield
    for kept in (norm._entries, norm._sources, norm._traits):
        del kept["noisy"]


def test_what_a_part_draws_itself_follows_the_seed(noisy: object) -> None:
    def start(seed: int) -> torch.Tensor:
        config = compose(["preset=tiny", "generator.norm=noisy", f"seed={seed}"])
        return build_networks(config, LAYOUT)[0].main[1].weight

    torch.manual_seed(1)
    first = start(0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(start(0), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(start(1), first)


def test_every_source_of_ones_own_package_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "own_package").mkdir()
    (here / "own_package" / "__init__.py").write_text("from own_package import norms\n")
    part = here / "own_package" / "norms.py"
    part.write_text("SIZE = 1\n")
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    compose(["preset=tiny", "imports=[own_package]"])
    before = code_hash(("own_package",))
    part.write_text("SIZE = 2\n")
    code_hash.cache_clear()
    assert code_hash(("own_package",)) != before
    assert before != code_hash()


def test_a_folder_that_is_no_package_is_refused(here: Path) -> None:
    (here / "just_a_folder").mkdir()
    with pytest.raises(ConfigError, match=r"imports: 'just_a_folder' is a folder without __init__\.py"):
        compose(["preset=tiny", "imports=[just_a_folder]"])
