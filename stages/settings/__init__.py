"""Parameters: what params.yaml may say, one file per consumer."""
