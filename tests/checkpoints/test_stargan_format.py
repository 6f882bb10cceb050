"""The reference's own files, as they lie about: read, recognised, hashed, loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored import COUNTER, KIT, golden_config, golden_state, write_pair
from torch import nn

from stargan_lab.checkpoints.files import content_hash, digest, last_hash, read_checkpoint
from stargan_lab.checkpoints.load_state import start_from
from stargan_lab.checkpoints.stargan_format import (
    CriticSizes,
    GeneratorSizes,
    difference,
    in_reference_form,
    shapes_of,
    sizes_of,
)
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family

NOWHERE = Path("nowhere")


def networks(run: str = "single") -> tuple[nn.Module, nn.Module]:
    config = golden_config(run)
    both = run == "multi"
    labels = config["c_dim"] + (config["c2_dim"] if both else 0)
    return (
        family("generator").build("resnet", labels + (2 if both else 0), width=4, blocks=2),
        family("discriminator").build("patchgan", labels, 32, width=4, depth=3),
    )


@pytest.mark.parametrize("run", ["single", "multi"])
def test_the_kits_files_load_to_the_bit(run: str, tmp_path: Path) -> None:
    folder = write_pair(tmp_path, run)
    generator, critic = networks(run)
    start_from(generator, "generator", str(folder / "200000-G.ckpt"), NOWHERE)
    start_from(critic, "discriminator", str(folder / "200000-D.ckpt"), NOWHERE)
    for network, letter in ((generator, "G"), (critic, "D")):
        golden = golden_state(letter, run)
        assert set(network.state_dict()) == set(golden)
        assert all(torch.equal(value, golden[key]) for key, value in network.state_dict().items())


def test_sizes_are_read_off_the_shapes() -> None:
    assert sizes_of(golden_state("G")) == GeneratorSizes(width=4, blocks=2, label_width=5)
    assert sizes_of(golden_state("D")) == CriticSizes(width=4, depth=3, label_width=5, side=4)
    assert sizes_of(golden_state("G", "multi")) == GeneratorSizes(4, 2, 9)
    assert CriticSizes(4, 3, 5, 4).image_size == 32
    assert sizes_of({"weight": torch.zeros(3)}) is None


@pytest.mark.parametrize("run", ["single", "multi"])
@pytest.mark.parametrize("letter", ["G", "D"])
def test_the_form_is_the_kits(letter: str, run: str) -> None:
    golden = golden_state(letter, run)
    sizes = sizes_of(golden)
    assert sizes is not None
    assert sizes.form() == shapes_of(golden)
    described = json.loads(Path(f"{KIT}.json").read_text())["runs"][run]["params"][letter]
    assert [key for key in sizes.form() if key in described] == described, "in the reference's order"
    assert list(sizes.build().state_dict()) == list(sizes.form())


def test_the_form_at_the_references_defaults() -> None:
    """Counts of yunjey/stargan at its defaults."""
    generator, critic = GeneratorSizes(64, 6, 5), CriticSizes(64, 6, 5, 2)
    assert (len(generator.form()), len(critic.form())) == (103, 14)
    weights = [s for key, s in generator.form().items() if "running" not in key and COUNTER not in key]
    assert sum(torch.Size(shape).numel() for shape in weights) == 8_430_528
    assert sum(torch.Size(shape).numel() for shape in critic.form().values()) == 44_762_048
    assert critic.image_size == 128


def test_a_departure_is_named() -> None:
    golden = golden_state("D")
    form = CriticSizes(4, 3, 5, 4).form()
    assert difference(golden, form) is None
    assert difference({**golden, "main.norm1.weight": torch.zeros(8)}, form) == "has main.norm1.weight too many"
    assert difference({k: v for k, v in golden.items() if "bias" not in k}, form) == "lacks main.0.bias (and 2 more)"
    assert "conv1.weight of shape 1x16x5x5 instead of 1x16x3x3" in str(
        difference({**golden, "conv1.weight": torch.zeros(1, 16, 5, 5)}, form)
    )
    assert in_reference_form(golden, "discriminator") and not in_reference_form(golden, "generator")


Change = Callable[[dict[str, Any]], dict[str, Any]]
AS_FOUND: dict[str, Change] = {
    "before torch 0.4": lambda state: {k: v for k, v in state.items() if not k.endswith(COUNTER)},
    "DataParallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    "parameters": lambda state: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()},
    "another order": lambda state: dict(reversed(state.items())),
}


@pytest.mark.parametrize("name", AS_FOUND)
def test_forms_in_which_they_are_found(name: str, tmp_path: Path) -> None:
    golden = golden_state("G")
    path = tmp_path / "200000-G.ckpt"
    torch.save(AS_FOUND[name](dict(golden)), path)
    generator, _ = networks()
    start_from(generator, "generator", str(path), NOWHERE)
    assert all(torch.equal(value, golden[key]) for key, value in generator.state_dict().items())
    assert content_hash(str(path), "generator", NOWHERE) == digest(golden)


def test_the_old_file_format(tmp_path: Path) -> None:
    path = tmp_path / "old-G.ckpt"
    torch.save(golden_state("G"), path, _use_new_zipfile_serialization=False)
    assert digest(read_checkpoint(path).state("generator")) == digest(golden_state("G"))


def test_weights_saved_on_a_gpu(tmp_path: Path) -> None:
    """The file's own record of the device is set to cuda:0, as a save there writes it."""
    path = tmp_path / "200000-G.ckpt"
    torch.save(golden_state("G"), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    # a pickled string is its length and its bytes
    on_gpu = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    assert on_gpu != data
    path.write_bytes(on_gpu)
    state = read_checkpoint(path).state("generator")
    assert {value.device.type for value in state.values()} == {"cpu"}
    assert digest(state) == digest(golden_state("G"))


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    one, other = write_pair(tmp_path / "a"), write_pair(tmp_path / "b", step=5)
    first = content_hash(str(one / "200000-G.ckpt"), "generator", NOWHERE)
    assert content_hash(str(other / "5-G.ckpt"), "generator", NOWHERE) == first
    assert content_hash(str(one / "200000-D.ckpt"), "discriminator", NOWHERE) != first
    state = golden_state("G")
    state["main.0.weight"][0, 0, 0, 0] += 1
    torch.save(state, other / "5-G.ckpt")
    assert content_hash(str(other / "5-G.ckpt"), "generator", NOWHERE) != first, "the same path, changed"


def test_weights_that_changed_after_they_were_hashed_are_refused(tmp_path: Path) -> None:
    file = str(write_pair(tmp_path) / "200000-G.ckpt")
    assert last_hash(file, "generator", NOWHERE) is None
    expected = content_hash(file, "generator", NOWHERE)
    assert last_hash(file, "generator", NOWHERE) == expected
    generator, _ = networks()
    start_from(generator, "generator", file, NOWHERE, expected)
    torch.save({**golden_state("G"), "main.1.bias": torch.ones(4)}, file)
    with pytest.raises(ConfigError, match=r"^initial\.generator: .*200000-G\.ckpt: its weights have changed since"):
        start_from(generator, "generator", file, NOWHERE, last_hash(file, "generator", NOWHERE))
    assert digest(generator.state_dict()) == expected
    start_from(generator, "generator", file, NOWHERE, content_hash(file, "generator", NOWHERE))


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("owned"), "yes")


def refused_files(folder: Path) -> None:
    torch.save(Malicious(), folder / "code.ckpt")
    torch.save(networks()[0], folder / "module.ckpt")
    torch.save([1, 2], folder / "list.ckpt")
    torch.save({}, folder / "nothing.ckpt")
    torch.save({"epoch": 3, "state_dict": dict(golden_state("G"))}, folder / "nested.ckpt")
    (folder / "page.ckpt").write_text("\n<!DOCTYPE html><html>Sign in</html>")
    (folder / "lfs.ckpt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    (folder / "empty.ckpt").write_bytes(b"")
    (folder / "text.ckpt").write_text("hello")
    whole = (folder / "200000-G.ckpt").read_bytes()
    (folder / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    broken = golden_state("G")
    broken["main.3.weight"][0] = float("nan")
    torch.save(broken, folder / "nan.ckpt")
    torch.save({**golden_state("G"), "extra.weight": torch.zeros(1)}, folder / "extra.ckpt")
    torch.save({k: v for k, v in golden_state("G").items() if k != "main.3.weight"}, folder / "missing.ckpt")
    torch.save({k: v.long() for k, v in golden_state("G").items()}, folder / "whole.ckpt")
    (folder / "folder").mkdir()


REFUSED = {
    "code.ckpt": ["holds code", "never run"],
    "module.ckpt": ["holds code", "plain state dict"],
    "list.ckpt": ["holds list", "state dict"],
    "nothing.ckpt": ["holds dict", "state dict"],
    "nested.ckpt": ["'epoch'", "no tensor"],
    "page.ckpt": ["web page"],
    "lfs.ckpt": ["Git LFS"],
    "empty.ckpt": ["is empty"],
    "text.ckpt": ["not a file of weights"],
    "half.ckpt": ["not a file of weights"],
    "nan.ckpt": ["not finite", "main.3.weight"],
    "extra.ckpt": ["has extra.weight too many"],
    "missing.ckpt": ["lacks main.3.weight"],
    "whole.ckpt": ["holds int64 in main.0.weight", "floating-point"],
    "folder": ["no checkpoints/last.pt in it"],
    "200000-D.ckpt": ["is a discriminator's", "did you mean initial.discriminator?"],
    "200000-H.ckpt": ["no such file", "200000-G.ckpt"],
}


@pytest.mark.parametrize("file", REFUSED)
def test_what_is_refused_takes_one_line(file: str, here: Path) -> None:
    refused_files(write_pair(here))
    with pytest.raises(ConfigError) as caught:
        start_from(networks()[0], "generator", file if file == "folder" else f"./{file}", NOWHERE)
    message = str(caught.value)
    assert message.startswith("initial.generator: ") and "\n" not in message
    for part in [file, *REFUSED[file]]:
        assert part in message, message
    assert not (here / "owned").exists()


SIZES = [
    ("generator", {"width": 8, "blocks": 2}, 5, ["needs generator.width=4 (here 8)"]),
    ("generator", {"width": 8, "blocks": 1}, 5, ["needs generator.width=4 generator.blocks=2 (here 8, 1)"]),
    ("generator", {"width": 4, "blocks": 2}, 6, ["takes labels of width 5", "are 6 wide"]),
    ("generator", {"width": 4, "blocks": 2, "norm": "layer"}, 5, ["too many", "generator=resnet"]),
    ("discriminator", {"width": 4, "depth": 2}, 5, ["needs discriminator.depth=3 (here 2)"]),
    ("discriminator", {"width": 4, "depth": 3, "size": 64}, 5, ["needs data.image_size=32 (here 64)"]),
    ("discriminator", {"width": 2, "depth": 3}, 4, ["discriminator.width=4 (here 2)", "labels of width 5", "4 wide"]),
    ("discriminator", {"width": 4, "depth": 3, "norm": "layer"}, 5, ["lacks main.norm1.weight"]),
    ("discriminator", {"width": 4, "depth": 3, "bias": False}, 5, ["main.0.bias (and 2 more) too many"]),
]


@pytest.mark.parametrize(("role", "options", "labels", "said"), SIZES, ids=lambda value: str(value))
def test_another_size_names_the_keys_to_set(
    role: Any, options: dict[str, Any], labels: int, said: list[str], tmp_path: Path
) -> None:
    folder = write_pair(tmp_path)
    options = dict(options)
    size = [options.pop("size", 32)] if role == "discriminator" else []
    name = {"generator": "resnet", "discriminator": "patchgan"}[role]
    network = family(role).build(name, labels, *size, **options)
    letter = {"generator": "G", "discriminator": "D"}[role]
    with pytest.raises(ConfigError) as caught:
        start_from(network, role, str(folder / f"200000-{letter}.ckpt"), NOWHERE)
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value), caught.value
