"""Loss terms, registered in the family ``loss_term``; importing this package imports all its modules.

Only the terms of every objective declare a ``weight``: the key that sets it, or 1. The others are added under
``terms``.
"""

from importlib import import_module
from pkgutil import iter_modules

from stargan_lab.losses.terms import stargan  # noqa: F401  first, since tables list terms in this order

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
