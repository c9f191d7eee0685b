#!/usr/bin/env bash
# Runs a benchmark on a machine that has torch and transformers but cannot install: lays the
# package out as a wheel would. Usage: benchmarks/on_device.sh benchmarks.gpu --sizes 1x512
set -euo pipefail
site="$(mktemp -d)"
cp -r lrp_engine "$site/lrp_engine"
cp -r rules "$site/lrp_engine/rules"
mkdir "$site/lrp_engine-0.1.0.dist-info"
printf 'Metadata-Version: 2.1\nName: lrp-engine\nVersion: 0.1.0\n' >"$site/lrp_engine-0.1.0.dist-info/METADATA"
cp -r benchmarks tests "$site/"
cd "$site"
PYTHONUNBUFFERED=1 PYTHONPATH="$site" exec python3 -W ignore -m "$@"
