"""Imports what a run imports sooner or later, for the server that forks the processes of a sweep's jobs."""

import atexit
import gc
from contextlib import suppress
from importlib import import_module

MODULES = (
    "stargan_lab.runs.run",
    "mlflow.store.tracking.sqlalchemy_store",
    "torch._dynamo",  # the optimizers import it
    "torch_fidelity",
    "torchvision",
    "skimage.metrics",
)

gc.disable()  # nothing that is imported becomes garbage
for name in MODULES:
    with suppress(ImportError):  # the run that needs it says so
        import_module(name)
gc.freeze()  # a collection in a job then copies no memory that the jobs share
gc.enable()
atexit.register(gc.unfreeze)  # otherwise libraries report objects that were not freed
