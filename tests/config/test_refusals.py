"""Every wrong setting is refused in one line with the key, the nearest valid choice and the allowed values."""

from pathlib import Path

import pytest
from torch import nn

from stargan_lab import ConfigError, compose
from stargan_lab.cli.main import main
from stargan_lab.registry import family

GROUP = "discriminator.norm=group"

REFUSED = [
    # misspelled keys on several levels
    (["sed=1"], ["sed", "'seed'"]),
    (["discriminator.nrom=instance"], ["discriminator.nrom", "'discriminator.norm'", "allowed:", "depth"]),
    (["+discriminator.nrom=instance"], ["discriminator.nrom", "'norm'", "allowed:"]),
    (["data.sources.celeba.atributes=[Male]"], ["data.sources.celeba.atributes", "attributes'"]),
    (["lipschitz=none", "lipschitz.weight=3"], ["lipschitz.weight", "allowed: name"]),
    ([GROUP, "+discriminator.norm_options.grups=8"], ["discriminator.norm_options.grups", "'groups'"]),
    (["+discriminator.norm_options.groups=8"], ["discriminator.norm_options.groups", "unknown key", "allowed: none"]),
    # missing keys
    (["~generator"], ["generator: missing"]),
    (["+data.sources.more={kind: celeba}"], ["data.sources.more.root: missing"]),
    # wrong types
    (["seed=abc"], ["seed", "an integer", "'abc'"]),
    (["trainer.log_every=true"], ["trainer.log_every", "an integer"]),
    (["optimizer.g_lr=fast"], ["optimizer.g_lr", "a number", "'fast'"]),
    (["discriminator.bias=maybe"], ["discriminator.bias", "a list", "true or false"]),
    (["data.sources.celeba.attributes=Male"], ["data.sources.celeba.attributes", "a list", "'Male'"]),
    (["data.sources.celeba.attributes=[]"], ["attributes: expected a non-empty list"]),
    (["data.sources=3"], ["data.sources", "mapping"]),
    (["discriminator.norm_options=8"], ["discriminator.norm_options", "a mapping", "got 8"]),
    ([GROUP, "discriminator.norm_options={groups: x}"], ["discriminator.norm_options.groups", "an integer", "'x'"]),
    # out of range
    (["seed=-1"], ["seed", "at least 0", "-1"]),
    (["weights.rec=-1"], ["weights.rec", "at least 0", "-1"]),
    (["discriminator.depth=9"], ["discriminator.depth", "at most 6"]),
    (["data.image_size=130"], ["data.image_size", "multiple of 4"]),
    ([GROUP, "discriminator.norm_options={groups: 0}"], ["discriminator.norm_options.groups", "at least 1", "got 0"]),
    # unknown components
    (["preset=quikstart"], ["preset", "'quikstart'", "'quickstart'", "reference"]),
    (["discriminator.norm=instanse"], ["discriminator.norm", "'instance'", "layer", "none"]),
    (["evaluation.extractor=incepton"], ["evaluation.extractor", "'inception'"]),
    (["targets=diferent"], ["targets", "'different'"]),
    (["data.sources.celeba.kind=celba"], ["data.sources.celeba.kind", "'celeba'", "synthfaces"]),
    (["trainer.device=gpu"], ["trainer.device", "auto, cpu, cuda"]),
    (["trainer.precision=fp16"], ["trainer.precision", "'bfloat16'"]),
    (["imports=[no_such_module]"], ["imports", "'no_such_module'"]),
    # keys of sources that do not exist
    (["data.sources.celba.root=x"], ["data.sources.celba.root", "'data.sources.celeba'"]),
    (
        ["data.sources.mine.kind=celeba"],
        ["data.sources.mine: no such source (existing: celeba)", "+data.sources.mine.kind=KIND"],
    ),
    (["data.sources.mine.root=x"], ["add it with +data.sources.mine.kind=KIND +data.sources.mine.root=VALUE"]),
    # not an override
    (["foo"], ["foo", "key=value"]),
    (["generator.norm=[a"], ["generator.norm=[a"]),
    (["discriminator.depth=2,3"], ["discriminator.depth=2,3: multiple values need -m"]),
    (["paths.outputs=${nope}"], ["paths.outputs", "nope"]),
]


def refusal(overrides: list[str], config_dir: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(overrides, config_dir=config_dir)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("overrides", "parts"), REFUSED, ids=lambda value: " ".join(value))
def test_refused_in_one_line(overrides: list[str], parts: list[str]) -> None:
    message = refusal(overrides)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [
        ("preset/mine.yaml", "# @package _global_\nn_critc: 3\n", ["n_critc", "'n_critic'"]),
        ("generator/mine.yaml", "name: resnet\nwidht: 3\n", ["generator.widht", "'width'"]),
        ("generator/mine.yaml", "name: resnett\n", ["generator.name", "'resnet'"]),
        ("preset/mine.yaml", "a: [\n", ["invalid YAML", "mine.yaml"]),
    ],
)
def test_errors_in_a_users_yaml_file(tmp_path: Path, file: str, text: str, parts: list[str]) -> None:
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(text)
    message = refusal([f"{path.parent.name}=mine"], tmp_path)
    assert all(part in message for part in parts), message


def test_a_config_dir_that_does_not_exist() -> None:
    assert "no-such-folder" in refusal([], Path("no-such-folder"))


def test_a_users_yaml_file_works(tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "mine.yaml").write_text("# @package _global_\nn_critic: 3\ngenerator: {blocks: 1}\n")
    config = compose(["preset=mine"], config_dir=tmp_path)
    assert (config.n_critic, config.generator.options["blocks"], config.batch_size) == (3, 1, 16)


def test_norm_options_reach_the_configuration_from_the_command_line() -> None:
    for override in ("generator.norm_options={groups: 8}", "+generator.norm_options.groups=8"):
        assert compose(["generator.norm=group", override]).generator.options["norm_options"] == {"groups": 8}


def test_making_small_images_does_not_check_the_networks(here: Path) -> None:
    small = ["data=synthfaces", "data.image_size=16", *(f"data.sources.faces.{split}=8" for split in ("train", "test"))]
    assert refusal(small).startswith("discriminator.depth")
    assert main(["data", "make", *small, "data.sources.faces.valid=0"]) == 0


def test_an_outputs_folder_that_is_not_writable(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    assert main(["train", "preset=tiny", "paths.outputs=file/runs"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: paths.outputs: cannot write to file/runs") and error.count("\n") == 1


def test_a_required_option_that_no_key_can_set() -> None:
    def scaled(channels: int, size: int, bias: bool, *, scale: float) -> nn.Module: ...

    family("head").register("scaled")(scaled)
    try:
        assert "discriminator.head: scaled has a required option scale" in refusal(["discriminator.head=scaled"])
    finally:
        del family("head")._entries["scaled"]


def test_unwritable_outputs_are_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    assert main(["train", "preset=tiny", "paths.outputs=file/runs"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: paths.outputs: cannot write to file/runs") and error.count("\n") == 1


def test_an_imported_component_is_selected_by_its_name(here: Path) -> None:
    (here / "soft_loss.py").write_text(
        "from stargan_lab.losses.adversarial import ADVERSARIALS, LeastSquares\n"
        "@ADVERSARIALS.register('softer')\nclass Softer(LeastSquares): ...\n"
    )
    imports = "imports=[soft_loss]"
    assert refusal([imports, "adversarial=softer"]).endswith(
        "select an imported component with adversarial.name=softer"
    )
    assert refusal(["adversarial=sotfer"]).startswith("adversarial: unknown adversarial 'sotfer'")
    assert compose(["preset=tiny", imports, "adversarial.name=softer"]).adversarial.name == "softer"
