"""Where images come from: one file per kind of source, read by `prepare` only."""
