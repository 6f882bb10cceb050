"""Configuration groups: generated files are up to date, presets compose, the default is the reference's recipe."""

from pathlib import Path

import pytest
import stargan_lab.conf

from stargan_lab import compose
from stargan_lab.cli.component_page import PAGE, page
from stargan_lab.config.catalogue import axes
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.config.yaml_files import generated_files, heading

CONF = Path(next(iter(stargan_lab.conf.__path__)))


def test_generated_files_are_up_to_date() -> None:
    expected = generated_files() | {PAGE: page(axes(compose()))}
    stale = [str(path) for path, text in expected.items() if not path.exists() or path.read_text() != text]
    unknown = {path for group in COMPONENTS for path in (CONF / group).glob("*.yaml")} - set(expected)
    assert stale == [], "run `make docs`"
    assert unknown == set(), "no such component"


def test_every_yaml_file_begins_with_a_comment() -> None:
    assert [path for path in CONF.rglob("*.yaml") if not heading(path)] == []


@pytest.mark.parametrize("preset", sorted(path.stem for path in (CONF / "preset").glob("*.yaml")))
def test_every_preset_composes(preset: str) -> None:
    assert compose([f"preset={preset}"]).total_steps > 0


def test_the_default_is_the_references_recipe() -> None:
    """The defaults of yunjey/stargan's main.py."""
    config = compose()
    assert (config.data.image_size, config.batch_size, config.total_steps, config.n_critic) == (128, 16, 200_000, 5)
    assert config.generator.options["width"] == config.discriminator.options["width"] == 64
    assert config.generator.options["blocks"] == config.discriminator.options["depth"] == 6
    assert (config.weights.cls, config.weights.rec, config.lipschitz.options["weight"]) == (1, 10, 10)
    assert config.optimizer.options == {"g_lr": 1e-4, "d_lr": 1e-4, "beta1": 0.5, "beta2": 0.999}
    assert config.schedule.options == {"decay_steps": 100_000, "every": 1000}
    celeba = config.data.sources["celeba"].options
    assert celeba["attributes"] == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    assert celeba["crop"] == 178


def test_configuration_is_frozen() -> None:
    config = compose(["preset=tiny"])
    with pytest.raises(Exception, match="frozen"):
        config.seed = 3  # type: ignore[misc]
