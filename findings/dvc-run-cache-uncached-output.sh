#!/usr/bin/env bash
# DVC 3.67.1: the run cache and outputs that git keeps (cache: false).
#
# Guess: a stage is in the run cache or not whatever heading of dvc.yaml its uncached output stands under; a JSON
#        mapping under `plots`, which holds no list to draw, is an error of `dvc plots show`.
# Seen:  with one uncached output under `outs` nothing of the stage is recorded, also not its cached outputs: going back
#        to earlier parameters runs it again. With the same file under `plots` or `metrics` it "is cached". `dvc plots
#        show` draws nothing of a JSON mapping, and says nothing.
# Matters where a costly stage leaves large outputs and a small table for git.
# Where: dvc/stage/__init__.py, Stage.run: run_cache is off if any output that is neither metric nor plot is uncached.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'dvc==3.67.1'
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1

mkdir "$folder/repository" && cd "$folder/repository"
git init -q && dvc init -q
echo "k: 1" > params.yaml
touch input.txt
{
    echo "stages:"
    for heading in outs plots metrics; do
        echo "  under_$heading:"
        echo "    cmd: cp params.yaml $heading.txt && echo '{\"k\":1}' > $heading.json"
        echo "    deps: [input.txt]"
        echo "    params: [k]"
        if [ "$heading" = outs ]; then
            echo "    outs: [outs.txt, {outs.json: {cache: false}}]"
        else
            echo "    outs: [$heading.txt]"
            echo "    $heading: [{$heading.json: {cache: false}}]"
        fi
    done
} > dvc.yaml

dvc repro -q
echo "k: 2" > params.yaml
dvc repro -q
echo "k: 1" > params.yaml
said=$(dvc repro)
echo "$said" | grep "Running\|is cached"
grep -q "Running stage 'under_outs'" <<< "$said"
grep -q "Stage 'under_plots' is cached" <<< "$said"
grep -q "Stage 'under_metrics' is cached" <<< "$said"

drawn=$(dvc plots show plots.json 2>&1)
grep -qi "error\|warning\|fail" <<< "$drawn" && exit 1
grep -q "index.html" <<< "$drawn"
echo "as seen: only the stage with the uncached output under outs ran again"
