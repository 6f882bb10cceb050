"""Loss terms, registered in the family ``loss_term``; importing this package imports all its modules.

Trait: ``standard`` marks the terms of every objective. Their weights are ``weights.cls``, ``weights.rec`` and
``lipschitz.weight``; the others are added under ``terms``.
"""

from importlib import import_module
from pkgutil import iter_modules

from stargan_lab.losses.terms import stargan  # noqa: F401  first, since tables list terms in this order

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
