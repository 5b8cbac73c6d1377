"""Pixels: draws, colour jitter, spline crops, augmented views, and the sources of images."""
