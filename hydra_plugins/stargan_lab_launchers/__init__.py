"""Launchers for Hydra, which finds plugins in this namespace package only. Configured in ``conf/hydra/launcher``."""
