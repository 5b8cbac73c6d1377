"""DVC's files and processes, and the state of every stage."""
