#!/usr/bin/env bash
# DVC 3.67.1: how dvc.lock is written when a stage has ended.
#
# Guess: to a new file that takes its place when it is whole, as tools do with files that others read.
# Seen:  in place: the file is emptied and written piece by piece, for all stages and not only for the one that has run.
#        Whoever reads it meanwhile sees an empty file, or the first stages only, which is valid YAML. The file keeps
#        its inode.
# Matters for whatever reads dvc.lock beside a run: a progress display, a second `dvc repro`, a backup.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'dvc==3.67.1'
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1

mkdir "$folder/repository" && cd "$folder/repository"
git init -q && dvc init -q
echo "a: 1" > params.yaml
cat > dvc.yaml <<'YAML'
stages:
  first:
    cmd: cat params.yaml > first.txt
    params: [a]
    outs: [first.txt]
YAML
dvc repro -q

# The lock file of a large pipeline.
python - <<'PYTHON'
with open("dvc.lock", "a") as file:
    for i in range(2000):
        out = f"    - path: o{i}\n      hash: md5\n      md5: '{i:032x}'\n      size: 1\n"
        file.write(f"  s{i:04d}:\n    cmd: x\n    outs:\n{out}")
PYTHON
inode=$(stat -c %i dvc.lock)

# Somebody reads it while a stage ends.
cat > read.py <<'PYTHON'
import pathlib, time

seen = set()
until = time.monotonic() + 120
while time.monotonic() < until and not pathlib.Path("done").exists():
    seen.add(pathlib.Path("dvc.lock").read_text())
whole = max(map(len, seen))
parts = [text for text in seen if len(text) < whole // 2]
print(len(parts), "times less than half of it; shortest", min(map(len, seen)), "of", whole, "characters")
raise SystemExit(not parts)
PYTHON
python read.py &
reader=$!
echo "a: 2" > params.yaml
dvc repro -q
touch done
wait "$reader"
test "$(stat -c %i dvc.lock)" = "$inode"
echo "as seen: dvc.lock was written in place, and readers saw parts of it"
