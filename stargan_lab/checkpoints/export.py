"""Export networks: as checkpoints of the reference implementation, and as ONNX with metadata."""

import json
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from stargan_lab.checkpoints.label_layout import as_plain
from stargan_lab.checkpoints.reference_format import CriticSizes, difference, sizes_of
from stargan_lab.checkpoints.weight_files import Role
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.labels import LabelLayout

SAME = 1e-3
"""Largest difference between outputs of equal networks, relative to the largest output."""
ONNX_LIMIT = 1e-4
"""Largest allowed difference between onnxruntime and torch, on images in [-1, 1]."""


def reference_state(network: nn.Module, role: Role, image_size: int) -> dict[str, Tensor]:
    """A network's weights for the reference implementation's ``load_state_dict``: its keys, order and dtypes.

    Compares keys and shapes, and the outputs of both networks with the same weights, because padding and output
    activation do not change the keys.

    Args:
        image_size: side in px of the discriminator's input.
    Raises:
        ConfigError: the network is not StarGAN's; says where it differs.
    """
    state = network.state_dict()
    sizes = sizes_of(state)
    problem = f"the {role} does not match the StarGAN {role}"
    if sizes is None or sizes.role != role:
        raise ConfigError(f"{problem}: its first layer differs")
    if mismatch := difference(state, sizes.form()):
        raise ConfigError(f"{problem}: it {mismatch}")
    dtype = next(network.parameters()).dtype
    with torch.random.fork_rng(devices=[]):  # the random weights are then replaced
        reference = sizes.build().to(dtype)
    reference.load_state_dict(state)
    side = image_size if isinstance(sizes, CriticSizes) else 32
    error = _output_difference(network, reference, _random_inputs(role, side, sizes.label_width, dtype))
    if not error <= SAME:
        raise ConfigError(f"{problem}: same keys, but outputs differ by {error:.0%}; check padding, output and head")
    return {key: _to_stored(state[key]) for key in sizes.form()}


def _random_inputs(role: Role, side: int, label_width: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, side, side, generator=random).to(dtype) * 2 - 1
    labels = torch.randint(2, (2, label_width), generator=random).to(dtype)
    return (images, labels) if role == "generator" else (images,)


@torch.no_grad()
def _output_difference(network: nn.Module, reference: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """The largest difference relative to the largest output; infinite if shapes differ."""
    outputs, expected = (
        [result] if isinstance(result := model(*inputs), Tensor) else list(result) for model in (network, reference)
    )
    return max(
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-12)) if a.shape == b.shape else float("inf")
        for a, b in zip(outputs, expected, strict=True)
    )


def _to_stored(value: Tensor) -> Tensor:
    """A contiguous copy on the CPU, floats as float32."""
    dtype = torch.float32 if value.is_floating_point() else value.dtype
    return value.detach().to("cpu", dtype).contiguous().clone(memory_format=torch.contiguous_format)


def to_onnx(
    generator: nn.Module, layout: LabelLayout, image_size: int, about: Mapping[str, Any]
) -> tuple[bytes, float]:
    """A generator as float32 ONNX: inputs ``image`` (N, 3, H, W) and ``label`` (N, K), output ``translated``.

    N, H and W are dynamic; H and W are multiples of the generator's ``size_multiple``. The metadata contains the
    columns of ``label``, the image range, and ``about``.

    Returns:
        The file's content, and the largest difference between torch and onnxruntime at two image and batch sizes.
    Raises:
        LabError: the ``onnx`` extra is not installed, torch cannot export the generator, or the outputs differ.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise LabError(f"ONNX export needs {error.name}: pip install 'stargan-lab[onnx]'") from None
    network = deepcopy(generator).to("cpu", torch.float32)
    multiple = int(getattr(network, "size_multiple", 1))
    model = _exported(network, layout.generator_width, multiple)
    _name_sizes(model)
    onnx.helper.set_model_props(model, _metadata(layout, image_size, multiple, about))
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    shapes = [(2, image_size, image_size), (3, image_size + multiple, image_size + 3 * multiple)]
    deviation = max(_onnx_difference(session, network, layout.generator_width, shape) for shape in shapes)
    if not deviation <= ONNX_LIMIT:
        raise LabError(f"onnxruntime's images differ from torch's by {deviation:.1e}, more than {ONNX_LIMIT:.0e}")
    return content, deviation


def _exported(network: nn.Module, label_width: int, multiple: int) -> Any:
    dim = torch.export.Dim
    batch, height, width = dim("batch", min=1, max=2**16), dim("h", min=2, max=2**12), dim("w", min=2, max=2**12)
    shapes = ({0: batch, 2: multiple * height, 3: multiple * width}, {0: batch})
    example = (torch.zeros(2, 3, 4 * multiple, 6 * multiple), torch.zeros(2, label_width))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about train mode, which does not affect these networks
            program: Any = torch.onnx.export(
                network,
                example,
                input_names=["image", "label"],
                output_names=["translated"],
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LabError(f"torch cannot export this generator as ONNX ({reason})") from None
    return program.model_proto


def _name_sizes(model: Any) -> None:
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        names = ["batch", None, "height", "width"]
        for dim, name in zip(dims, names, strict=False):
            if dim.dim_param and name:
                dim.dim_param = name


def _metadata(layout: LabelLayout, image_size: int, multiple: int, about: Mapping[str, Any]) -> dict[str, str]:
    several = len(layout.specs) > 1
    columns = [f"{spec.dataset}: {name}" if several else name for spec in layout.specs for name in spec.names]
    columns += [f"mask: {spec.dataset}" for spec in layout.specs] if several else []
    values = {
        "columns_of_label": columns,
        "datasets": as_plain(layout),
        "label": "0 or 1; columns of other datasets: 0; mask: 1 for the target's dataset" if several else "0 or 1",
        "image": "RGB, (v / 255 - 0.5) / 0.5 of 8-bit values v",
        "range": [-1, 1],
        "image_size": image_size,
        "size_multiple": multiple,
        **about,
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


@torch.no_grad()
def _onnx_difference(session: Any, network: nn.Module, label_width: int, shape: tuple[int, int, int]) -> float:
    count, height, width = shape
    random = torch.Generator().manual_seed(height)
    images = torch.rand(count, 3, height, width, generator=random) * 2 - 1
    labels = torch.randint(2, (count, label_width), generator=random).float()
    (translated,) = session.run(None, {"image": images.numpy(), "label": labels.numpy()})
    return float((torch.from_numpy(translated) - network(images, labels)).abs().max())
