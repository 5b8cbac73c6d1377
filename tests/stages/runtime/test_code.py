"""code: the files that a stage runs, and their hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.runtime.code import code_files, code_hash


def test_code_hash_follows_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.runtime import code

    files = {
        "stages/first.py": "def f():\n    from stages.layer.b import x\n",
        "stages/layer/b.py": "from . import c\n",
        "stages/layer/c.py": "import numpy\n",
        "stages/layer/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path.resolve())
    start = tmp_path / "stages/first.py"
    names = [p.relative_to(tmp_path.resolve()).as_posix() for p in code_files(start)]
    assert names == ["stages/first.py", "stages/layer/b.py", "stages/layer/c.py"]
    before = code_hash(start)
    (tmp_path / "stages/layer/unused.py").write_text("x = 1\n")
    assert code_hash(start) == before
    (tmp_path / "stages/layer/c.py").write_text("import scipy\n")
    assert code_hash(start) != before
