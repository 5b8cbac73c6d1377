"""Nets outside the pipeline: files for other programs, model cards, pictures and vectors."""
