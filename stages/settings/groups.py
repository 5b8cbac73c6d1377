"""Groups of cells."""

from __future__ import annotations

from typing import Literal

Target = Literal["mimic", "hard", "ablation", "teacher_2014", "student_2014"]


SECTION: dict[Target, str] = {
    "mimic": "students",
    "hard": "hard",
    "ablation": "ablations",
    "teacher_2014": "teachers_2014",
    "student_2014": "students_2014",
}
"""Where in params.yaml a target's rows and budgets are listed; also the name of its stage."""


ROWS: dict[Target, str] = {
    "mimic": "rows",
    "hard": "hard_rows",
    "ablation": "ablation_rows",
    "teacher_2014": "hard_rows",
    "student_2014": "rows",
}


FOLDER: dict[Target, str] = {
    "mimic": "students",
    "hard": "hard",
    "ablation": "students",
    "teacher_2014": "hard",
    "student_2014": "students",
}
"""Under data/ and metrics/, where cells lie beside those that they are compared with."""


BASE: dict[Target, Target] = {"ablation": "mimic", "teacher_2014": "hard", "student_2014": "mimic"}
"""Whose search and training these targets have."""
