"""Scales, and what they cost."""
