#!/usr/bin/env bash
# The engine's own tests on another machine's torch and transformers, several files at a time.
# MARKS picks tests as pytest's -m does: MARKS=gpu benchmarks/tests_on_device.sh tests/test_package.py
set -uo pipefail
site="$(mktemp -d)"
logs="$(mktemp -d)"
python3 -m pip install -q --no-index --no-deps --no-build-isolation --target "$site" .
export PYTHONPATH="$site" LOGS="$logs" OMP_NUM_THREADS=1 MARKS="${MARKS:-not slow}"
python3 -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
for file in "$@"; do echo "$file"; done | xargs -P 14 -I{} sh -c \
  'python3 -W ignore -m pytest -q -p no:cacheprovider --show-capture=no -m "$MARKS" -x {} >$LOGS/$(echo {} | tr / _).log 2>&1; echo "{}: $(tail -n 1 $LOGS/$(echo {} | tr / _).log)"; grep -E "^(FAILED|ERROR|E  )" $LOGS/$(echo {} | tr / _).log | head -n 6 | cut -c1-300'
