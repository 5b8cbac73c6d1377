"""A stand-in for DVC, as `dvc` in a test's folder: runs the commands of plan.json by a shell.

Each line that begins with "ended" on its standard output has the status of one command.
"""

import json
import os
import signal
import subprocess
from pathlib import Path

for number, command in enumerate(json.loads(Path("plan.json").read_text())):
    child = subprocess.Popen(
        ["/bin/bash", "--noprofile", "--norc", "-c", command],
        env={**os.environ, "DVC_STAGE": f"stage{number}"},
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = child.wait()
    signal.signal(signal.SIGINT, before)
    print(f"ended {number} {status}", flush=True)
