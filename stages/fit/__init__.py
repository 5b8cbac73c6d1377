"""One training run: schedule, losses, loop."""
