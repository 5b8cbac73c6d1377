"""Where work runs: processes, and threads that read and write beside the computation."""
