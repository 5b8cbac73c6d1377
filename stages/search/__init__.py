"""Hyperparameter search: space, proposals, journal, sweep."""
