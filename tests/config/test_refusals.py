"""Every wrong setting is refused in one line that names the key, the nearest right one and what is allowed."""

import pytest

from stargan_lab import ConfigError, compose

SMALL = ["preset=quickstart"]

REFUSED = [
    # a misspelt key, at several depths, in an override
    (["sed=1"], ["sed", "'seed'"]),
    (["discriminator.nrom=instance"], ["discriminator.nrom", "'discriminator.norm'", "allowed:", "depth"]),
    (["+discriminator.nrom=instance"], ["discriminator.nrom", "'norm'", "allowed:"]),
    (["data.sources.celeba.atributes=[Male]"], ["data.sources.celeba.atributes", "attributes'"]),
    (["lipschitz=none", "lipschitz.weight=3"], ["lipschitz.weight", "allowed: name"]),
    (["~seed"], ["seed: missing"]),
    (["+data.sources.more={kind: celeba}"], ["data.sources.more.root: missing"]),
    # a wrong type
    (["seed=abc"], ["seed", "an integer", "'abc'"]),
    (["seed=1.5"], ["seed", "an integer", "1.5"]),
    (["trainer.log_every=true"], ["trainer.log_every", "an integer"]),
    (["optimizer.g_lr=fast"], ["optimizer.g_lr", "a number", "'fast'"]),
    (["generator.affine=1"], ["generator.affine", "true or false"]),
    (["discriminator.bias=maybe"], ["discriminator.bias", "a list", "true or false"]),
    (["data.sources.celeba.attributes=Male"], ["data.sources.celeba.attributes", "a list", "'Male'"]),
    (["data.sources=3"], ["data.sources", "mapping"]),
    (["trainer=3"], ["trainer=3"]),
    (["weights.cls=null"], ["weights.cls", "a number"]),
    # out of range
    (["seed=-1"], ["seed", "at least 0", "-1"]),
    (["batch_size=0"], ["batch_size", "at least 1"]),
    (["discriminator.depth=9"], ["discriminator.depth", "at most 6"]),
    (["lipschitz.weight=-3"], ["lipschitz.weight", "at least 0"]),
    (["data.image_size=130"], ["data.image_size", "multiple of 4"]),
    (["data=synthfaces", "data.sources.faces.difficulty=2"], ["data.sources.faces.difficulty", "at most 1"]),
    # an unknown component
    (["preset=quikstart"], ["preset", "'quikstart'", "'quickstart'", "reference"]),
    (["lipschitz=gpp"], ["lipschitz", "'gp'", "none"]),
    (["discriminator.norm=instanse"], ["discriminator.norm", "'instance'", "layer", "none"]),
    (["generator.output=than"], ["generator.output", "'tanh'", "sigmoid"]),
    (["evaluation.extractor=incepton"], ["evaluation.extractor", "'inception'"]),
    (["data.sources.celeba.kind=celba"], ["data.sources.celeba.kind", "'celeba'", "synthfaces"]),
    (["trainer.device=gpu"], ["trainer.device", "auto, cpu, cuda"]),
    (["trainer.precision=fp16"], ["trainer.precision", "'bfloat16'"]),
    (["imports=[no_such_module]"], ["imports", "'no_such_module'"]),
    # an illegal pair
    ([*SMALL, "discriminator.depth=6"], ["discriminator.depth", "64 px", "data.image_size is 32", "1 to 5"]),
    ([*SMALL, "discriminator.depth=5", "discriminator.norm=instance"], ["discriminator.norm", "1x1", "depth=4"]),
    (["discriminator.bias=[7]"], ["discriminator.bias", "layer 7", "0 to 5"]),
    # not an override
    (["foo"], ["foo", "key=value"]),
    (["generator.norm=[a"], ["generator.norm=[a"]),
    (["paths.outputs=${nope}"], ["paths.outputs", "nope"]),
]


@pytest.mark.parametrize(("overrides", "said"), REFUSED, ids=lambda value: " ".join(value) if value else "")
def test_refused_in_one_line(overrides: list[str], said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message, message


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("preset/mine.yaml", "# @package _global_\nn_critc: 3\n", ["n_critc", "'n_critic'"]),
        ("generator/mine.yaml", "name: resnet\nwidht: 3\n", ["generator.widht", "'width'"]),
        ("generator/mine.yaml", "name: resnett\n", ["generator.name", "'resnet'"]),
        ("trainer/mine.yaml", "log_every: 0\n", ["trainer"]),
        (
            "preset/mine.yaml",
            "# @package _global_\ndata: {sources: {celeba: {crop: wide}}}\n",
            ["celeba.crop", "'wide'"],
        ),
        ("preset/mine.yaml", "a: [\n", ["YAML", "mine.yaml"]),
    ],
)
def test_a_users_yaml_is_refused_alike(tmp_path, file: str, text: str, said: list[str]) -> None:
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        compose([f"{path.parent.name}=mine"], config_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message, message


def test_a_config_dir_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-folder is no folder"):
        compose([], config_dir="no-such-folder")


def test_a_users_yaml_works(tmp_path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "mine.yaml").write_text("# @package _global_\nn_critic: 3\ngenerator: {blocks: 1}\n")
    config = compose(["preset=mine"], config_dir=tmp_path)
    assert (config.n_critic, config.generator.options["blocks"], config.batch_size) == (3, 1, 16)


def test_a_label_that_cannot_act_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="the label has no effect"):
        compose(["generator.padding=reflect"])
