"""Sweeps and trials."""
