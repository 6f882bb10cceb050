"""Refusals that a person meets early, and what they advise."""

from pathlib import Path

import pytest

from stargan_lab import compose
from stargan_lab.cli.main import main
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family


def test_several_values_without_multirun() -> None:
    with pytest.raises(ConfigError, match=r"discriminator\.depth=2,3: several values need -m"):
        compose(["preset=tiny", "discriminator.depth=2,3"])


def test_an_empty_list_in_plain_words() -> None:
    with pytest.raises(ConfigError, match=r"attributes: expected a list of at least one"):
        compose(["preset=tiny", "data.sources.faces.attributes=[]"])


def test_outputs_that_cannot_be_written(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    assert main(["train", "preset=tiny", "paths.outputs=file/runs"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: paths.outputs: file/runs cannot be written") and error.count("\n") == 1


def test_drawing_small_images_asks_nothing_of_the_networks(here: Path) -> None:
    small = ["data=synthfaces", "data.image_size=16", *(f"data.sources.faces.{which}=8" for which in ("train", "test"))]
    with pytest.raises(ConfigError, match=r"discriminator\.depth"):
        compose(small)
    assert main(["data", "make", *small, "data.sources.faces.valid=0"]) == 0


def test_an_option_that_no_key_could_set_is_refused() -> None:
    def wide(channels: int, affine: bool, *, eps: float = 1e-3) -> None:
        """A norm with an option."""

    with pytest.raises(ValueError, match="'eps' could not be set, as a norm is chosen by name alone"):
        family("norm").register("wide")(wide)
    assert "wide" not in family("norm").names()
