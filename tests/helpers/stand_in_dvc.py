"""A stand-in for DVC, as dvc.py in a test's folder: stages that sleep, and a log.

plan.json: "needs" (stage -> stages), "seconds" and "fail" (stage -> number), "together" (no cell
ends before so many have begun). A stage is done when done/STAGE is there.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PLAN = json.loads(Path("plan.json").read_text())
NEEDS = PLAN["needs"]


def note(*words: object) -> None:
    with open("log.txt", "a") as file:
        file.write(" ".join(map(str, (time.monotonic(), *words))) + "\n")


def cells_begun() -> int:
    """How many cells have begun so far."""
    return sum(" begin " in line and "@" in line for line in open("log.txt"))


def run(stage: str) -> None:
    """As DVC: the command is a child, and while it runs an interrupt is for it alone."""
    seconds = PLAN["seconds"].get(stage, 0)
    status = PLAN["fail"].get(stage, 0)
    code = f"import time; time.sleep({seconds}); raise SystemExit({status})"

    print(f"Running stage '{stage}'", flush=True)
    child = subprocess.Popen([shutil.which("python") or "no python in PATH", "-c", code])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    note(
        "begin",
        stage,
        os.getpid(),
        child.pid,
        os.environ.get("CUDA_VISIBLE_DEVICES", "-"),
        shutil.which("python"),
    )
    while cells_begun() < PLAN["together"] and "@" in stage:
        time.sleep(0.02)
    failed = child.wait()
    signal.signal(signal.SIGINT, before)
    time.sleep(PLAN["writes"] * ("@" in stage))  # dvc.lock
    note("end", stage, failed)
    if failed:
        print(f"failed to run: {stage}", flush=True)
        sys.exit(255)
    Path("done", stage).touch()


words = [word for word in sys.argv[1:] if word != "--wait-for-lock"]
Path("done").mkdir(exist_ok=True)
if words[:2] == ["stage", "list"]:
    print("\n".join(NEEDS))
elif words[0] == "dag":
    print(
        "strict digraph {",
        *(f'"{before}" -> "{name}";' for name in NEEDS for before in NEEDS[name]),
        "}",
        sep="\n",
    )
elif words[0] == "status":
    print(json.dumps({name: [] for name in words[2:] if not Path("done", name).exists()}))
else:
    note(*words)
    targets = [word for word in words[1:] if not word.startswith("--")] or list(NEEDS)
    for target in targets:
        if not Path("done", target).exists():
            run(target)
