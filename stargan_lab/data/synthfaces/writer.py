"""Writing a SynthFaces dataset to disk, in the layout of CelebA or RaFD."""

import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stargan_lab import console, files
from stargan_lab.data.celeba_annotations import ATTRIBUTE_FILE, PARTITION_FILE
from stargan_lab.data.options import SPLITS
from stargan_lab.data.synthfaces.identity import EXPRESSIONS
from stargan_lab.data.synthfaces.renderer import render
from stargan_lab.data.synthfaces.spec import SPEC_FILE, SynthSpec, file_name, read_spec
from stargan_lab.errors import DataError
from stargan_lab.files.partial import abandoned, process_tag

_CHUNK = 256


def make_synthfaces(root: Path, spec: SynthSpec) -> None:
    """Render ``spec`` into ``root`` unless it is already there. If interrupted, ``root`` is not created.

    Raises:
        DataError: ``root`` contains something else.
    """
    root = root.absolute()
    if read_spec(root) == spec:
        return
    with files.storing(root), files.locked(root.parent / f".{root.name}.lock") as alone:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            if read_spec(root) != spec:
                raise DataError(f"{root}: contains something other than the requested SynthFaces; set a different root")
            return
        for stale in abandoned(root.parent.glob(f".{root.name}.partial-*"), alone):
            shutil.rmtree(stale)
        partial = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.partial-{process_tag()}."))
        try:
            _write(partial, spec, f"generating {root.name}")
            partial.chmod(0o755)  # mkdtemp makes it private to this user
            os.replace(partial, root)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if not isinstance(error, OSError) or read_spec(root) != spec:  # another host was not faster
                raise


def _write(root: Path, spec: SynthSpec, title: str) -> None:
    split_of = np.repeat(SPLITS, spec.counts)
    if spec.form == "celeba":
        (root / "images").mkdir()
        values = _render_files(root, spec, lambda number, expression: f"images/{file_name(number)}", title)
        names = [file_name(number) for number in range(spec.total)]
        rows = [f"{name} {' '.join('1' if v else '-1' for v in row)}" for name, row in zip(names, values, strict=True)]
        files.write_text(root / ATTRIBUTE_FILE, "\n".join([str(spec.total), " ".join(spec.attributes), *rows]) + "\n")
        parts = [f"{name} {SPLITS.index(which)}\n" for name, which in zip(names, split_of, strict=True)]
        files.write_text(root / PARTITION_FILE, "".join(parts))
    else:
        for which, expression in product(dict.fromkeys(split_of), EXPRESSIONS):
            (root / which / expression).mkdir(parents=True)
        _render_files(root, spec, lambda number, name: f"{split_of[number]}/{name}/{file_name(number)}", title)
    files.write_json(root / SPEC_FILE, spec.description)


def _render_files(root: Path, spec: SynthSpec, path_of: Callable[[int, str], str], title: str) -> NDArray[np.bool_]:
    """Write every image to ``path_of(number, expression)`` under ``root``.

    Returns:
        (total, len(spec.attributes)): the attribute values.
    """
    values = []
    with console.bar(title, spec.total, "image") as bar:
        for start in range(0, spec.total, _CHUNK):
            numbers = range(start, min(start + _CHUNK, spec.total))
            faces = spec.sample(numbers)
            for number, expression, pixels in zip(numbers, faces.expressions, render(faces, spec.size), strict=True):
                image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
                image.save(root / path_of(number, expression), compress_level=1)
            values.append(np.stack([faces.labels[name] for name in spec.attributes], axis=1) > 0)
            bar.update(len(numbers))
    return np.concatenate(values)
