"""Results: tables and figures, and the values printed in the paper."""
