"""Export to the reference format and to ONNX."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from stored import golden_state
from tiny import ONE, TWO, make_critic, make_generator

from stargan_lab.checkpoints.export import ONNX_LIMIT, reference_state, to_onnx
from stargan_lab.checkpoints.reference_format import shapes_of, sizes_of
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout
from stargan_lab.registry import family


def test_golden_weights_are_exported_unchanged() -> None:
    golden_g, golden_d = golden_state("G"), golden_state("D")
    generator = make_generator(5, width=4, blocks=2)
    critic = make_critic(5, size=32, width=4, depth=3)
    generator.load_state_dict(golden_g)
    critic.load_state_dict(golden_d)
    for network, role, golden in ((generator, "generator", golden_g), (critic, "discriminator", golden_d)):
        state = reference_state(network, role, 32)  # type: ignore[arg-type]
        assert {k: (v.dtype, v.shape) for k, v in state.items()} == {k: (v.dtype, v.shape) for k, v in golden.items()}
        assert list(state) == list(network.state_dict())
        assert all(torch.equal(state[key], golden[key]) for key in golden)
        assert all(value.is_contiguous() and not value.requires_grad for value in state.values())


def test_float64_and_channels_last_are_exported_as_contiguous_float32() -> None:
    generator = make_generator(3).double().to(memory_format=torch.channels_last)
    state = reference_state(generator, "generator", 16)
    sizes = sizes_of(state)
    assert sizes is not None and shapes_of(state) == sizes.form()
    dtypes = {key: value.dtype for key, value in state.items()}
    assert {dtype for key, dtype in dtypes.items() if not key.endswith("num_batches_tracked")} == {torch.float32}
    assert dtypes["main.1.num_batches_tracked"] == torch.int64
    assert torch.equal(state["main.0.weight"], generator.state_dict()["main.0.weight"].float())


def test_export_does_not_change_the_random_state() -> None:
    critic = make_critic(3)
    before = torch.get_rng_state()
    reference_state(critic, "discriminator", 16)
    assert torch.equal(torch.get_rng_state(), before)


UNSUPPORTED: list[tuple[str, str, dict[str, Any], str]] = [
    ("generator", "resnet", {"norm": "layer"}, "is missing"),
    ("generator", "resnet", {"affine": False}, "is missing main.1.weight"),
    ("generator", "resnet", {"output": "sigmoid"}, "outputs differ"),
    ("discriminator", "patchgan", {"norm": "instance"}, "unexpected main.norm1.weight"),
    ("discriminator", "patchgan", {"bias": (0,)}, "is missing main.2.bias"),
    ("discriminator", "patchgan", {"head": "global"}, "conv1.weight of shape"),
    ("discriminator", "patchgan", {"head_bias": True}, "unexpected conv1.bias"),
]
UNSUPPORTED += [("generator", name, {}, "") for name in family("generator").names() if name != "resnet"]


@pytest.mark.parametrize(("role", "name", "options", "part"), UNSUPPORTED, ids=lambda value: str(value))
def test_other_networks_are_refused(role: Any, name: str, options: dict[str, Any], part: str) -> None:
    make = {"generator": make_generator, "discriminator": make_critic}[role]
    with pytest.raises(ConfigError, match=f"the {role} does not match the StarGAN {role}: .*{part}") as caught:
        reference_state(make(3, name, **options), role, 16)
    assert "\n" not in str(caught.value)


def test_global_head_is_recognized_by_its_outputs() -> None:
    """With a last map of 3x3, both heads have the same keys and shapes."""
    critic = make_critic(3, size=12, head="global")
    assert shapes_of(critic.state_dict()) == shapes_of(make_critic(3, size=12).state_dict())
    with pytest.raises(ConfigError, match="outputs differ"):
        reference_state(critic, "discriminator", 12)


def test_image_size_may_be_any_number() -> None:
    assert reference_state(make_critic(3, size=20, depth=3), "discriminator", 20)


def generators() -> Iterator[Any]:
    """Every generator with its defaults, then with every conditioning, norm, output and padding."""
    for name in family("generator").names():
        known = family("generator").options(name)
        cases: list[dict[str, Any]] = [{}]
        for option, referenced in family("generator").references(name).items():
            cases += [{option: e} for e in family(referenced).names() if e != known[option].default]
        for case in cases:
            yield pytest.param(name, case, id=" ".join([name, *(f"{k}={v}" for k, v in case.items())]))


def check_onnx(content: bytes, network: torch.nn.Module, layout: LabelLayout, shape: tuple[int, int, int]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image", "label"]
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert session.get_outputs()[0].shape == ["batch", 3, "height", "width"]
    count, height, width = shape
    images = torch.rand(count, 3, height, width) * 2 - 1
    labels = torch.randint(2, (count, layout.generator_width)).float()
    (found,) = session.run(["translated"], {"image": images.numpy(), "label": labels.numpy()})
    with torch.no_grad():
        return float(np.abs(found - network(images, labels).numpy()).max())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), list(generators()))
def test_every_generator_exports_to_onnx(name: str, options: dict[str, Any]) -> None:
    network = make_generator(ONE.generator_width, name, **options)
    content, error = to_onnx(network, ONE, 32, {})
    assert 0 <= error <= ONNX_LIMIT
    multiple = getattr(network, "size_multiple", 4)
    assert check_onnx(content, network, ONE, (5, 4 * multiple, 7 * multiple)) <= ONNX_LIMIT


def test_onnx_metadata() -> None:
    import onnx

    network = make_generator(TWO.generator_width)
    content, _ = to_onnx(network, TWO, 32, {"step": 4, "averaged": True})
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    about = {entry.key: entry.value for entry in model.metadata_props}
    columns = ["faces: Black_Hair", "faces: Blond_Hair", "faces: Young", "moods: happy", "moods: sad"]
    assert json.loads(about["columns_of_label"]) == [*columns, "mask: faces", "mask: moods"]
    assert json.loads(about["range"]) == [-1, 1]
    assert (about["step"], about["averaged"], about["image_size"]) == ("4", "true", "32")
    assert about["size_multiple"] == str(network.size_multiple)
    assert json.loads(about["datasets"])[0]["groups"] == [["Black_Hair", "Blond_Hair"]]
    assert check_onnx(content, network, TWO, (1, 16, 24)) <= ONNX_LIMIT


@pytest.mark.slow
def test_onnx_with_different_outputs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from stargan_lab.checkpoints import export
    from stargan_lab.errors import LabError

    monkeypatch.setattr(export, "ONNX_LIMIT", -1.0)
    with pytest.raises(LabError, match="differ from torch's"):
        to_onnx(make_generator(3), ONE, 16, {})
