"""Errors that newcomers meet first."""

from pathlib import Path

import pytest

from stargan_lab import compose
from stargan_lab.cli.main import main
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family


def test_unwritable_outputs_are_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    assert main(["train", "preset=tiny", "paths.outputs=file/runs"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: paths.outputs: cannot write to file/runs") and error.count("\n") == 1


def test_data_make_does_not_check_the_networks(here: Path) -> None:
    small = ["data=synthfaces", "data.image_size=16", *(f"data.sources.faces.{which}=8" for which in ("train", "test"))]
    with pytest.raises(ConfigError, match=r"discriminator\.depth"):
        compose(small)
    assert main(["data", "make", *small, "data.sources.faces.valid=0"]) == 0


def test_norm_with_options_is_refused() -> None:
    def wide(channels: int, affine: bool, *, eps: float = 1e-3) -> None:
        """A norm with an option."""

    with pytest.raises(ValueError, match="'eps' could not be set, as a norm is chosen by name alone"):
        family("norm").register("wide")(wide)
    assert "wide" not in family("norm").names()
