"""The training step, the loop around it, optimisers, schedules and EMA."""
