"""No file in stages/ or commands/ can unpickle, evaluate or hand to a shell what it reads."""

from __future__ import annotations

import ast

from tools.pocket import ROOT

FORBIDDEN_IMPORTS = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "subprocess",
    "pty",
    "yaml",
    "code",
    "runpy",
    "zipfile",
    "ctypes",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {
    "os": ("system", "popen", "exec", "spawn", "posix_spawn"),
    "torch": ("load", "save", "hub"),
    "torch.export": ("load",),
    "np": ("load",),
    "numpy": ("load",),
    "pd": ("read_pickle", "eval"),
    "shutil": ("unpack_archive",),
}
ALLOWED = {
    # between a process and its own children, never from a file
    "stages/runtime/executors.py": {"pickle"},
    # between a driver and the tasks that it has started, by Ray's own wire
    "stages/runtime/cluster/executor.py": {"pickle"},
    # the other end
    "stages/runtime/cluster/task.py": {"pickle"},
    # one setting of the C library's allocator
    "stages/runtime/device.py": {"ctypes"},
    # git with fixed words, without a shell; the number of the driver by its own library
    "stages/runtime/environment.py": {"subprocess", "ctypes"},
    # headers and sizes are looked at before, arrays of objects are refused
    "stages/images/sources/npz.py": {"zipfile"},
    # without pickles, mapped into memory
    "stages/images/sources/extra_arrays.py": {"np.load"},
    # between a stage and its server, by a socket that only this user can open
    "commands/running/server.py": {"pickle"},
    # its forks
    "commands/running/forks.py": {"pickle"},
    # the other end
    "commands/running/starter.py": {"pickle"},
    # the same
    "commands/running/early.py": {"pickle"},
    # the server with words of its own, without a shell
    "commands/running/client.py": {"os.posix_spawn"},
    # DVC with paths of dvc.lock, without a shell
    "commands/share.py": {"subprocess"},
    # DVC with paths of clones, without a shell
    "commands/gc.py": {"subprocess"},
    # git with paths that it has named, without a shell
    "commands/merge.py": {"subprocess"},
    # DVC with names of stages, without a shell
    "commands/pipeline/dvc.py": {"subprocess"},
    # the same
    "commands/pipeline/jobs.py": {"subprocess"},
    # what jobs hands to it
    "commands/pipeline/guard.py": {"subprocess"},
    # what export has just made, or the user says is to be trusted
    "commands/models/programs.py": {"torch.export.load"},
    # a net whose description says that it is to be trusted
    "stages/nets/outside/runs.py": {"torch.export.load"},
    # without pickles, which is numpy's default
    "commands/models/vectors.py": {"np.load"},
}


def offences(text: str) -> list[str]:
    """What could run code from a file, or a shell, in Python source."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import | ast.ImportFrom)
            else []
        )
        module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
        found += [
            name
            for name in [*names, *([module] if module else [])]
            if name.split(".")[0] in FORBIDDEN_IMPORTS
        ]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            owner, _, method = called.rpartition(".")
            bad = FORBIDDEN_METHODS.get(owner, ()) if method != "compile" else ()
            found += (
                [called]
                if called in FORBIDDEN_CALLS or any(method.startswith(name) for name in bad)
                else []
            )
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            found += [
                name for name in ("shell", "allow_pickle") if words.get(name, "False") != "False"
            ]
            if method == "YAML" or called == "YAML":
                found += (
                    []
                    if words.get("typ", "'rt'") in ("'safe'", "'rt'")
                    else [f"YAML {words['typ']}"]
                )
            if method == "extractall" or method == "extract":
                found += [] if words.get("filter") == "'data'" else [called]
    return found


BAD = (
    "import pickle",
    "from pickle import load",
    "eval('1')",
    "exec(x)",
    "import subprocess",
    "os.system(x)",
    "torch.load(x)",
    "np.load(x)",
    "f(x, allow_pickle=True)",
    "g(x, shell=True)",
    "YAML(typ='unsafe')",
    "torch.export.load(x)",
    "tar.extractall(x)",
    "import yaml",
    "os.execv(x, y)",
    "pd.read_pickle(x)",
)


def test_no_stage_can_run_code_from_a_file_or_a_shell() -> None:
    assert [text for text in BAD if not offences(text)] == []
    files = sorted(path for name in ("stages", "commands") for path in (ROOT / name).rglob("*.py"))
    assert len(files) > 100
    found = {str(path.relative_to(ROOT)): set(offences(path.read_text())) for path in files}
    assert {
        name: bad - ALLOWED.get(name, set())
        for name, bad in found.items()
        if bad - ALLOWED.get(name, set())
    } == {}
