"""code: the files that a stage runs, and their hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.runtime.code import code_files, code_hash


def test_code_hash_follows_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.runtime import code

    files = {
        "stages/door.py": "def f():\n    from stages.room.b import x\n",
        "stages/room/b.py": "from . import c\n",
        "stages/room/c.py": "import numpy\n",
        "stages/room/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path.resolve())
    start = tmp_path / "stages/door.py"
    names = [p.relative_to(tmp_path.resolve()).as_posix() for p in code_files(start)]
    assert names == ["stages/door.py", "stages/room/b.py", "stages/room/c.py"]
    before = code_hash(start)
    (tmp_path / "stages/room/unused.py").write_text("x = 1\n")
    assert code_hash(start) == before
    (tmp_path / "stages/room/c.py").write_text("import scipy\n")
    assert code_hash(start) != before
