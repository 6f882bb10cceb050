"""Imports what a run imports sooner or later, for the server that forks the processes of a sweep's jobs."""

import atexit
import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

MODULES = (
    "stargan_lab.runs.run",
    "mlflow.store.tracking.sqlalchemy_store",
    "torch._dynamo",  # the optimizers import it
    "torch_fidelity",
    "torchvision",
    "skimage.metrics",
)


def _end() -> NoReturn:
    """End this process without taking the interpreter apart.

    With torch that takes two seconds, in which the server would keep the pipes of the finished sweep open.
    """
    sys.stdout.flush()
    os._exit(0)


atexit.register(_end)  # before the imports, so that it runs after what they register
gc.disable()  # nothing that is imported becomes garbage
for name in MODULES:
    with suppress(ImportError):  # the run that needs it says so
        import_module(name)
gc.freeze()  # a collection in a job then copies no memory that the jobs share
gc.enable()
