"""Columns of the tables of trials."""

from __future__ import annotations

TABLE_COLUMNS = ("trial", "validation_error", "best_so_far", "test_accuracy")
"""What every table of trials begins with."""
END_COLUMNS = ("best_epoch", "epochs", "why", "reason")
"""How a training ended."""
TEACHER_COLUMNS = ("params", "widths", *END_COLUMNS)
"""Next columns of the teachers' table; its hyperparameters follow."""
STUDENT_COLUMNS = ("params", "widths", "dependent", *END_COLUMNS, "test_sha256")
"""Next columns of a cell's table; its hyperparameters follow, and FAMILY."""
FAMILY = "family"
"""Last column of a cell's table."""
NOT_HYPERPARAMETERS = {*TABLE_COLUMNS, *TEACHER_COLUMNS, *STUDENT_COLUMNS, FAMILY}
RETRAINED_COLUMNS = ("run", "validation_error", "test_accuracy")
"""What every table of retrained nets begins with."""
