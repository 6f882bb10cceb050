"""One training cycle of yunjey/stargan, run by its own solver."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain
from typing import Any

NEVER = 10**9


class _Loader:
    """Batches for the solver, which takes one more before the first step of each call, for its sample images."""

    def __init__(self, data: list[Any]) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        return chain(self.data[:1], self.data)


def reference_cycle(arguments: argparse.Namespace, depth: int, data: list[Any]) -> Callable[[], None]:
    """``Solver.train`` over one cycle, n_critic iterations, of its networks at the size of ``arguments``."""
    sys.path.insert(0, str(arguments.against))
    import torch
    from solver import Solver  # type: ignore[import-not-found]

    labels = data[0][1].shape[1]
    values = {"c_dim": labels, "c2_dim": 8, "image_size": arguments.image_size, "dataset": "CelebA"}
    values |= {"g_conv_dim": arguments.width, "d_conv_dim": arguments.width, "g_repeat_num": 6, "d_repeat_num": depth}
    values |= {"lambda_cls": 1, "lambda_rec": 10, "lambda_gp": 10, "batch_size": arguments.batch_size}
    values |= {"num_iters": len(data), "num_iters_decay": 0, "n_critic": len(data), "resume_iters": None}
    values |= {"g_lr": 1e-4, "d_lr": 1e-4, "beta1": 0.5, "beta2": 0.999, "test_iters": 0, "use_tensorboard": False}
    values |= {"selected_attrs": ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]}
    values |= dict.fromkeys(("log_dir", "sample_dir", "model_save_dir", "result_dir"), "")
    values |= dict.fromkeys(("log_step", "sample_step", "model_save_step", "lr_update_step"), NEVER)
    available = torch.cuda.is_available
    try:  # the solver takes the GPU whenever there is one
        if arguments.device == "cpu":
            torch.cuda.is_available = lambda: False
        with redirect_stdout(StringIO()):
            solver = Solver(_Loader(data), None, argparse.Namespace(**values))
    finally:
        torch.cuda.is_available = available

    def cycle() -> None:
        with redirect_stdout(StringIO()):
            solver.train()

    return cycle
