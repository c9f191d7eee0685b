#!/usr/bin/env bash
# The engine's own tests on another machine's torch and transformers, several files at a time.
# MARKS picks tests as pytest's -m does: MARKS=gpu benchmarks/tests_on_device.sh tests/test_package.py
set -uo pipefail
site="$(mktemp -d)"
cp -r lrp_engine "$site/lrp_engine"
cp -r rules "$site/lrp_engine/rules"
mkdir "$site/lrp_engine-0.1.0.dist-info"
printf 'Metadata-Version: 2.1\nName: lrp-engine\nVersion: 0.1.0\n' >"$site/lrp_engine-0.1.0.dist-info/METADATA"
cp -r tests docs examples README.md CONTRIBUTING.md pyproject.toml "$site/"
cd "$site"
export PYTHONPATH="$site" OMP_NUM_THREADS=1 MARKS="${MARKS:-not slow}"
python3 -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
for file in "$@"; do echo "$file"; done | xargs -P 14 -I{} sh -c \
  'python3 -W ignore -m pytest -q -p no:cacheprovider --show-capture=no -m "$MARKS" -x {} >$(echo {} | tr / _).log 2>&1; echo "{}: $(tail -n 1 $(echo {} | tr / _).log)"; grep -E "^(FAILED|ERROR|E  )" $(echo {} | tr / _).log | head -n 6 | cut -c1-300'
