"""The YAML files of a group and the entries of its registry are the same set, with the same keys and defaults."""

from pathlib import Path

import pytest
import stargan_lab.conf
import yaml

from stargan_lab import compose
from stargan_lab.config.schema import COMPONENTS, options_model
from stargan_lab.registry import families, family

CONF = Path(next(iter(stargan_lab.conf.__path__)))
PRESETS = sorted(path.stem for path in (CONF / "preset").glob("*.yaml"))


@pytest.mark.parametrize("group", COMPONENTS)
def test_yaml_names_equal_the_registry(group: str) -> None:
    assert sorted(path.stem for path in (CONF / group).glob("*.yaml")) == family(group).names()


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in COMPONENTS for n in family(g).names()])
def test_a_yaml_states_every_option_with_its_default(group: str, name: str) -> None:
    written = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    defaults = {key: option.default for key, option in family(group).options(name).items()}
    assert written == {"name": name, **defaults}


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF)))
def test_a_yaml_says_what_it_is(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes(preset: str) -> None:
    assert compose([f"preset={preset}"]).total_steps > 0


def test_the_contract_presets_are_there() -> None:
    assert {"reference", "quickstart", "tiny", "small"} <= set(PRESETS)


def test_the_default_is_the_references_recipe() -> None:
    """BEHAVIOUR of yunjey/stargan, main.py's defaults."""
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


@pytest.mark.parametrize("name", families())
def test_every_entry_has_a_summary(name: str) -> None:
    for entry in family(name).names():
        assert family(name).summary(entry).endswith((".", ";")), (name, entry)


def test_configuration_is_frozen() -> None:
    config = compose(["preset=tiny"])
    with pytest.raises(Exception, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_options_are_read_off_the_signature() -> None:
    assert set(options_model("lipschitz", "gp").model_fields) == {"weight", "samples", "reduction", "one_sided"}
