"""Ablations: their files, the plan of cells, and which cells are left to train."""
