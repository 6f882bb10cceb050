"""Invalid settings are refused in one line that names the key, the nearest valid one and the allowed values."""

import pytest

from stargan_lab import ConfigError, compose

SMALL = ["preset=quickstart"]

REFUSED = [
    # a misspelt key
    (["sed=1"], ["sed", "'seed'"]),
    (["discriminator.nrom=instance"], ["discriminator.nrom", "'discriminator.norm'", "allowed:", "depth"]),
    (["+discriminator.nrom=instance"], ["discriminator.nrom", "'norm'", "allowed:"]),
    (["data.sources.celeba.atributes=[Male]"], ["data.sources.celeba.atributes", "attributes'"]),
    (["lipschitz=none", "lipschitz.weight=3"], ["lipschitz.weight", "allowed: name"]),
    (["hydra.rum.dir=x"], ["hydra.rum.dir", "'hydra.run'"]),
    (["~seed"], ["seed: missing"]),
    (["+data.sources.more={kind: celeba}"], ["data.sources.more.root: missing"]),
    # a wrong type
    (["seed=1.5"], ["seed", "an integer", "1.5"]),
    (["generator.affine=1"], ["generator.affine", "true or false"]),
    (["discriminator.bias=maybe"], ["discriminator.bias", "a list", "true or false"]),
    (["data.sources.celeba.attributes=Male"], ["data.sources.celeba.attributes", "a list", "'Male'"]),
    (["data.sources=3"], ["data.sources", "mapping"]),
    (["trainer=3"], ["trainer=3"]),
    # out of range
    (["seed=-1"], ["seed", "at least 0", "-1"]),
    (["data.image_size=130"], ["data.image_size", "multiple of 4"]),
    (["preset=tiny", "data.sources.faces.attributes=[]"], ["attributes: expected a list of at least one"]),
    # an unknown component
    (["preset=quikstart"], ["preset", "'quikstart'", "'quickstart'", "reference"]),
    (["discriminator.norm=instanse"], ["discriminator.norm", "'instance'", "layer", "none"]),
    (["evaluation.extractor=incepton"], ["evaluation.extractor", "'inception'"]),
    (["data.sources.celeba.kind=celba"], ["data.sources.celeba.kind", "'celeba'", "synthfaces"]),
    (["trainer.device=gpu"], ["trainer.device", "auto, cpu, cuda"]),
    (["imports=[no_such_module]"], ["imports", "'no_such_module'"]),
    # incompatible settings
    ([*SMALL, "discriminator.depth=6"], ["discriminator.depth", "64 px", "data.image_size is 32", "1 to 5"]),
    ([*SMALL, "discriminator.depth=5", "discriminator.norm=instance"], ["discriminator.norm", "1x1", "depth=4"]),
    (["discriminator.bias=[7]"], ["discriminator.bias", "layer 7", "0 to 5"]),
    # not a valid override
    (["foo"], ["foo", "key=value"]),
    (["generator.norm=[a"], ["generator.norm=[a"]),
    (["paths.outputs=${nope}"], ["paths.outputs", "nope"]),
    ([*SMALL, "discriminator.depth=2,3"], ["discriminator.depth=2,3: several values need -m"]),
]


@pytest.mark.parametrize(("overrides", "expected"), REFUSED, ids=[" ".join(overrides) for overrides, _ in REFUSED])
def test_invalid_override_is_refused_in_one_line(overrides: list[str], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message, message


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("preset/mine.yaml", "# @package _global_\nn_critc: 3\n", ["n_critc", "'n_critic'"]),
        ("generator/mine.yaml", "name: resnet\nwidht: 3\n", ["generator.widht", "'width'"]),
        ("trainer/mine.yaml", "log_every: 0\n", ["trainer"]),
        (
            "preset/mine.yaml",
            "# @package _global_\ndata: {sources: {celeba: {crop: wide}}}\n",
            ["celeba.crop", "'wide'"],
        ),
        ("preset/mine.yaml", "a: [\n", ["invalid YAML", "mine.yaml"]),
    ],
)
def test_invalid_user_yaml_is_refused_in_one_line(tmp_path, file: str, text: str, expected: list[str]) -> None:
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        compose([f"{path.parent.name}=mine"], config_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message, message


def test_missing_config_dir_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-folder is not a directory"):
        compose([], config_dir="no-such-folder")


def test_user_preset_is_applied(tmp_path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "mine.yaml").write_text("# @package _global_\nn_critic: 3\ngenerator: {blocks: 1}\n")
    config = compose(["preset=mine"], config_dir=tmp_path)
    assert (config.n_critic, config.generator.options["blocks"], config.batch_size) == (3, 1, 16)


def test_label_without_effect_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="the label has no effect"):
        compose(["generator.padding=reflect"])
