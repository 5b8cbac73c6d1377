#!/usr/bin/env bash
# DVC 3.67.1: `dvc repro --allow-missing` and a changed stage whose input is missing.
#
# Guess: the stage is refused before anything happens, or it runs and fails by itself.
# Seen:  stages that have not changed are skipped although their files are missing, as documented. A stage whose
#        parameter has changed is not run: DVC first removes its output, then fails with "[Errno 2] No such file or
#        directory" about the missing dependency. An output that git keeps (cache: false) is gone from the workspace.
# Matters where small outputs are kept by git and large inputs are not: a clone without data.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'dvc==3.67.1'
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1

mkdir "$folder/first" && cd "$folder/first"
git init -q && git config user.name x && git config user.email x@localhost && dvc init -q
echo "k: 1" > params.yaml
cat > dvc.yaml <<'YAML'
stages:
  data:
    cmd: echo data > data.txt
    outs: [data.txt]
  table:
    cmd: cat params.yaml > table.txt
    deps: [data.txt]
    params: [k]
    outs:
      - table.txt: {cache: false}
YAML
dvc repro -q
git add . && git commit -qm "A finished pipeline"

git clone -q "$folder/first" "$folder/second" && cd "$folder/second"
test -f table.txt && test ! -e data.txt

# Nothing has changed: all is skipped, though data.txt is missing.
dvc repro --allow-missing | grep -q "up to date"

# A parameter changes.
echo "k: 2" > params.yaml
status=0
said=$(dvc repro --allow-missing 2>&1) || status=$?
test "$status" -ne 0
grep -q "Stage 'data' didn't change, skipping" <<< "$said"
grep -q "failed to reproduce 'table'.*No such file or directory.*data.txt" <<< "$said"
grep -q "Running stage 'table'" <<< "$said" && exit 1
test ! -e table.txt
echo "as seen: the changed stage did not run, and its output is gone"
