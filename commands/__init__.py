"""What users run besides dvc.yaml: `python -m commands.NAME`."""
