#!/bin/bash
# mimicnets on a running Ray cluster: run a command, with its trials on the cluster. cloud.yaml and kubernetes.yaml use
# it.
#
#   bash launchers/on-cluster.sh                # dvc repro
#   bash launchers/on-cluster.sh dvc repro hard
#
# It reads:
#   RAY_ADDRESS           HOST:PORT of the head, as Ray sets it for the command of a job; default port 6379 of this node
#   MIMICNETS_EXECUTION   keys of `execution` besides engine and address, as '{device: cuda, trials_per_gpu: 2}'
#   MIMICNETS_WAIT_GPUS   wait until the cluster has so many GPUs; if it can grow, request them and give them back
#   MIMICNETS_WAIT_SECONDS  wait at most so long for them; default 1800

set -euo pipefail

(($#)) || set -- dvc repro
cd "$(dirname "${BASH_SOURCE[0]}")/.."

address=${RAY_ADDRESS:-}
if [[ -z $address || $address == auto ]]; then
    address=$(hostname -I | tr ' ' '\n' | awk '/^[0-9.]+$/ && !/^127\./ {print; exit}'):6379
fi

MIMICNETS_EXECUTION=$(python - "$address" <<'END'
import json, os, sys

from ruamel.yaml import YAML

given = YAML(typ="safe").load(os.environ.get("MIMICNETS_EXECUTION") or "{}")
print(json.dumps({**given, "engine": "ray", "address": sys.argv[1]}))
END
)
export MIMICNETS_EXECUTION

# Ask the cluster for so many GPUs, and wait for them unless the number is 0.
ask() {
    python - "$address" "$1" "${MIMICNETS_WAIT_SECONDS:-1800}" <<'END'
import sys, time

import ray
from ray.autoscaler.sdk import request_resources

address, gpus, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
ray.init(address, log_to_driver=False, logging_level="ERROR")
request_resources(bundles=[{"GPU": 1}] * gpus)  # holds until the next request, whatever becomes of this process
deadline = time.monotonic() + seconds
while (found := sum(int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"])) < gpus:
    if time.monotonic() > deadline:
        sys.exit(f"on-cluster.sh: the cluster has {found} GPUs of {gpus} after {seconds:.0f} s: see ray status")
    time.sleep(2)
END
}

if [[ -n ${MIMICNETS_WAIT_GPUS:-} ]]; then
    trap 'ask 0' EXIT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    ask "$MIMICNETS_WAIT_GPUS"
fi
"$@"
