"""Ablations: the file that declares one, its plan of cells, and their execution."""
