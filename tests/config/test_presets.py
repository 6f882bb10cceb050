"""Presets together with components that take other options, and with data of another image size."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from stargan_lab import compose
from stargan_lab.cli.main import main
from stargan_lab.config.compose import Note
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family


@pytest.fixture(scope="module", autouse=True)
def _plain_networks() -> Iterator[None]:
    """Components without the options that presets set; removed again, since they cannot be trained."""

    @family("generator").register("plain_generator")
    class PlainGenerator(nn.Module):
        """One convolution."""

        def __init__(self, label_width: int, *, kernel: int = 3) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3 + label_width, 3, kernel, padding=kernel // 2)

        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            planes = labels[:, :, None, None].expand(-1, -1, *images.shape[2:])
            return torch.tanh(self.layer(torch.cat([images, planes], 1)))

    @family("discriminator").register("plain_discriminator")
    class PlainDiscriminator(nn.Module):
        """One convolution."""

        def __init__(self, label_width: int, image_size: int) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 1 + label_width, image_size)

    @family("optimizer").register("plain_optimizer")
    def plain_optimizer(parameters: object, role: str, *, rate: float = 0.1) -> None:
        """An optimizer with one rate."""

    yield
    for group in ("generator", "discriminator", "optimizer"):
        del family(group)._entries[f"plain_{group}"]


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    for name, text in {
        "generator/mine.yaml": "name: plain_generator\nkernel: 5\n",
        "generator/wrong.yaml": "name: plain_generator\nwidth: 5\n",
        "preset/inherited.yaml": "# @package _global_\ndefaults: [tiny]\nn_critic: 3\n",
        "preset/misspelt.yaml": "# @package _global_\ngenerator: {widht: 5}\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("preset", ["tiny", "quickstart", "inherited"])
def test_preset_options_that_a_component_lacks_are_dropped(config_dir: Path, preset: str) -> None:
    words = [f"preset={preset}", "generator=mine", "discriminator.name=plain_discriminator"]
    config = compose([*words, "optimizer.name=plain_optimizer"], config_dir)
    assert config.generator.options == {"kernel": 5}
    assert config.discriminator.options == {}
    assert config.optimizer.options == {"rate": 0.1}


def test_the_shown_configuration_lacks_dropped_options_too(
    config_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["preset=quickstart", "generator=mine", "discriminator.name=plain_discriminator"]
    assert main(["train", *words, "--config-dir", str(config_dir), "--cfg", "job"]) == 0
    shown, trained = yaml.safe_load(capsys.readouterr().out), compose(words, config_dir)
    assert shown["generator"] == {"name": "plain_generator", "kernel": 5} == trained.generator.flat()
    assert shown["discriminator"] == trained.discriminator.flat() and shown["weights"]["rec"] == 20.0
    assert main(["train", *words, "--config-dir", str(config_dir), "--cfg", "job", "--package", "generator"]) == 0
    assert capsys.readouterr().out == "# @package generator\nname: plain_generator\nkernel: 5\n"


def test_component_chosen_by_name_alone_needs_no_yaml() -> None:
    assert compose(["preset=tiny", "generator.name=plain_generator"]).generator.options == {"kernel": 3}


def test_preset_options_that_a_component_takes_are_kept() -> None:
    assert compose(["preset=quickstart", "generator=unet"]).generator.options["width"] == 16
    config = compose(["preset=tiny", "generator=unet", "generator.width=8", "optimizer=rmsprop"])
    assert config.generator.options["width"] == 8
    assert config.optimizer.options["g_lr"] == 0.00005


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["preset=tiny", "generator=mine", "generator.width=8"], "generator.width: unknown key"),
        (["preset=tiny", "generator=mine", "generator.kernle=3"], "generator.kernle: unknown key.*'generator.kernel'"),
        (["preset=tiny", "generator=wrong"], "generator.width: unknown key"),
        (["preset=misspelt"], "generator.widht: unknown key.*'width'"),
    ],
)
def test_user_options_are_never_dropped(config_dir: Path, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        compose(overrides, config_dir)


def test_image_size_that_a_preset_sets_for_other_data_is_noted() -> None:
    with pytest.warns(Note, match="preset=quickstart sets data.image_size=32; the default of data=both is 128"):
        config = compose(["preset=quickstart", "data=both"])
    assert config.data.image_size == 32


@pytest.mark.parametrize(
    ("words", "size"),
    [("preset=quickstart", 32), ("preset=tiny data=celeba data.image_size=64", 64), ("data=rafd", 128)],
)
def test_image_size_is_not_noted_when_expected(words: str, size: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Note)
        config = compose(words.split())
    assert config.data.image_size == size
    assert [each for each in caught if issubclass(each.category, Note)] == []
