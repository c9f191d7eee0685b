#!/usr/bin/env bash
# Runs a benchmark on a machine that has torch and transformers but no package registry: installs
# the checkout without its dependencies. Usage: benchmarks/on_device.sh benchmarks.gpu --sizes 1x512
set -euo pipefail
site="$(mktemp -d)"
python3 -m pip install -q --no-index --no-deps --no-build-isolation --target "$site" .
PYTHONUNBUFFERED=1 PYTHONPATH="$site" exec python3 -W ignore -m "$@"
