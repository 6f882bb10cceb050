"""Ablations that ship with the package, one YAML each."""
