"""How a stage is started: by itself, or in a fork of a process that serves one `dvc repro`; progress."""
