"""Adversarial losses, Lipschitz constraints, classification, reconstruction, and the two objectives they make up."""
