"""Files: atomic writes, shards, weights, work folders."""
