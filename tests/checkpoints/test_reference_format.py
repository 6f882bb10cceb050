"""Checkpoints of the reference implementation: read, recognized, hashed, loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored import COUNTER, KIT, golden_config, golden_state, write_pair
from torch import nn

from stargan_lab.checkpoints.load_state import start_from
from stargan_lab.checkpoints.reference_format import (
    CriticSizes,
    GeneratorSizes,
    difference,
    in_reference_form,
    shapes_of,
    sizes_of,
)
from stargan_lab.checkpoints.weight_files import content_hash, digest, read_checkpoint
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
def test_golden_files_load_exactly(run: str, tmp_path: Path) -> None:
    folder = write_pair(tmp_path, run)
    generator, critic = networks(run)
    start_from(generator, "generator", str(folder / "200000-G.ckpt"), NOWHERE)
    start_from(critic, "discriminator", str(folder / "200000-D.ckpt"), NOWHERE)
    for network, letter in ((generator, "G"), (critic, "D")):
        golden = golden_state(letter, run)
        assert set(network.state_dict()) == set(golden)
        assert all(torch.equal(value, golden[key]) for key, value in network.state_dict().items())


def test_sizes_from_shapes() -> None:
    assert sizes_of(golden_state("G")) == GeneratorSizes(width=4, blocks=2, label_width=5)
    assert sizes_of(golden_state("D")) == CriticSizes(width=4, depth=3, label_width=5, side=4)
    assert sizes_of(golden_state("G", "multi")) == GeneratorSizes(4, 2, 9)
    assert CriticSizes(4, 3, 5, 4).image_size == 32
    assert sizes_of({"weight": torch.zeros(3)}) is None


@pytest.mark.parametrize("run", ["single", "multi"])
@pytest.mark.parametrize("letter", ["G", "D"])
def test_keys_and_shapes_equal_the_golden_files(letter: str, run: str) -> None:
    golden = golden_state(letter, run)
    sizes = sizes_of(golden)
    assert sizes is not None
    assert sizes.form() == shapes_of(golden)
    described = json.loads(Path(f"{KIT}.json").read_text())["runs"][run]["params"][letter]
    assert [key for key in sizes.form() if key in described] == described, "in the reference's order"
    assert list(sizes.build().state_dict()) == list(sizes.form())


def test_parameter_counts_at_the_reference_defaults() -> None:
    """Counts of yunjey/stargan with its default arguments."""
    generator, critic = GeneratorSizes(64, 6, 5), CriticSizes(64, 6, 5, 2)
    assert (len(generator.form()), len(critic.form())) == (103, 14)
    weights = [s for key, s in generator.form().items() if "running" not in key and COUNTER not in key]
    assert sum(torch.Size(shape).numel() for shape in weights) == 8_430_528
    assert sum(torch.Size(shape).numel() for shape in critic.form().values()) == 44_762_048
    assert critic.image_size == 128


def test_difference_names_the_key() -> None:
    golden = golden_state("D")
    form = CriticSizes(4, 3, 5, 4).form()
    assert difference(golden, form) is None
    assert difference({**golden, "main.norm1.weight": torch.zeros(8)}, form) == "has unexpected main.norm1.weight"
    assert (
        difference({k: v for k, v in golden.items() if "bias" not in k}, form) == "is missing main.0.bias (and 2 more)"
    )
    assert "conv1.weight of shape 1x16x5x5, expected 1x16x3x3" in str(
        difference({**golden, "conv1.weight": torch.zeros(1, 16, 5, 5)}, form)
    )
    assert in_reference_form(golden, "discriminator") and not in_reference_form(golden, "generator")


Change = Callable[[dict[str, Any]], dict[str, Any]]
VARIANTS: dict[str, Change] = {
    "before torch 0.4": lambda state: {k: v for k, v in state.items() if not k.endswith(COUNTER)},
    "DataParallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    "parameters": lambda state: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()},
    "another order": lambda state: dict(reversed(state.items())),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_state_dicts_load_equally(name: str, tmp_path: Path) -> None:
    golden = golden_state("G")
    path = tmp_path / "200000-G.ckpt"
    torch.save(VARIANTS[name](dict(golden)), path)
    generator, _ = networks()
    start_from(generator, "generator", str(path), NOWHERE)
    assert all(torch.equal(value, golden[key]) for key, value in generator.state_dict().items())
    assert content_hash(str(path), "generator", NOWHERE) == digest(golden)


def test_legacy_file_format(tmp_path: Path) -> None:
    path = tmp_path / "old-G.ckpt"
    torch.save(golden_state("G"), path, _use_new_zipfile_serialization=False)
    assert digest(read_checkpoint(path).state("generator")) == digest(golden_state("G"))


def test_weights_saved_on_a_gpu(tmp_path: Path) -> None:
    """The file records cuda:0 as the device."""
    path = tmp_path / "200000-G.ckpt"
    torch.save(golden_state("G"), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    # pickled strings are prefixed with their length
    on_gpu = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    assert on_gpu != data
    path.write_bytes(on_gpu)
    state = read_checkpoint(path).state("generator")
    assert {value.device.type for value in state.values()} == {"cpu"}
    assert digest(state) == digest(golden_state("G"))


def test_hash_depends_on_the_content_only(tmp_path: Path) -> None:
    one, other = write_pair(tmp_path / "a"), write_pair(tmp_path / "b", step=5)
    first = content_hash(str(one / "200000-G.ckpt"), "generator", NOWHERE)
    assert content_hash(str(other / "5-G.ckpt"), "generator", NOWHERE) == first
    assert content_hash(str(one / "200000-D.ckpt"), "discriminator", NOWHERE) != first
    state = golden_state("G")
    state["main.0.weight"][0, 0, 0, 0] += 1
    torch.save(state, other / "5-G.ckpt")
    assert content_hash(str(other / "5-G.ckpt"), "generator", NOWHERE) != first, "the same path, changed"


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("owned"), "yes")


def write_invalid_files(folder: Path) -> None:
    torch.save(Malicious(), folder / "code.ckpt")
    torch.save([1, 2], folder / "list.ckpt")
    torch.save({"epoch": 3, "state_dict": dict(golden_state("G"))}, folder / "nested.ckpt")
    (folder / "page.ckpt").write_text("\n<!DOCTYPE html><html>Sign in</html>")
    (folder / "lfs.ckpt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    (folder / "empty.ckpt").write_bytes(b"")
    whole = (folder / "200000-G.ckpt").read_bytes()
    (folder / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    broken = golden_state("G")
    broken["main.3.weight"][0] = float("nan")
    torch.save(broken, folder / "nan.ckpt")
    torch.save({**golden_state("G"), "extra.weight": torch.zeros(1)}, folder / "extra.ckpt")
    torch.save({k: v for k, v in golden_state("G").items() if k != "main.3.weight"}, folder / "missing.ckpt")
    torch.save({k: v.long() for k, v in golden_state("G").items()}, folder / "integers.ckpt")
    (folder / "folder").mkdir()


REFUSED = {
    "code.ckpt": ["contains code", "never executed"],
    "list.ckpt": ["contains list", "state dict"],
    "nested.ckpt": ["'epoch' is not a tensor"],
    "page.ckpt": ["is an HTML or XML page"],
    "lfs.ckpt": ["is a Git LFS pointer"],
    "empty.ckpt": ["is empty"],
    "half.ckpt": ["not a weight file"],
    "nan.ckpt": ["non-finite values in main.3.weight"],
    "extra.ckpt": ["has unexpected extra.weight"],
    "missing.ckpt": ["is missing main.3.weight"],
    "integers.ckpt": ["dtype int64 in main.0.weight", "floating-point"],
    "folder": ["contains no checkpoints/last.pt"],
    "200000-D.ckpt": ["contains a discriminator, not a generator; did you mean initial.discriminator?"],
    "200000-H.ckpt": ["no such file", "200000-G.ckpt"],
}


@pytest.mark.parametrize("file", REFUSED)
def test_invalid_files_are_refused_in_one_line(file: str, here: Path) -> None:
    write_invalid_files(write_pair(here))
    with pytest.raises(ConfigError) as caught:
        start_from(networks()[0], "generator", file if file == "folder" else f"./{file}", NOWHERE)
    message = str(caught.value)
    assert message.startswith("initial.generator: ") and "\n" not in message
    for part in [file, *REFUSED[file]]:
        assert part in message, message
    assert not (here / "owned").exists()


SIZES = [
    ("generator", {"width": 8, "blocks": 1}, 5, ["needs generator.width=4 generator.blocks=2 (configured: 8, 1)"]),
    ("generator", {"width": 4, "blocks": 2}, 6, ["takes 5 labels, but data.sources has 6"]),
    ("generator", {"width": 4, "blocks": 2, "norm": "layer"}, 5, ["has unexpected", "generator=resnet"]),
    ("discriminator", {"width": 4, "depth": 3, "size": 64}, 5, ["needs data.image_size=32 (configured: 64)"]),
    ("discriminator", {"width": 2, "depth": 3}, 4, ["discriminator.width=4 (configured: 2) and takes 5 labels"]),
]


@pytest.mark.parametrize(("role", "options", "labels", "parts"), SIZES, ids=lambda value: str(value))
def test_size_mismatch_names_the_keys_to_set(
    role: Any, options: dict[str, Any], labels: int, parts: list[str], tmp_path: Path
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
    for part in parts:
        assert part in str(caught.value), caught.value
