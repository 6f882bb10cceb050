"""Adversarial losses, Lipschitz constraints, target labels, loss terms and the objectives they add up to."""
