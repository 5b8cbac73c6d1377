"""Doors (files: one DVC stage each) and rooms (folders: what the doors compose)."""
