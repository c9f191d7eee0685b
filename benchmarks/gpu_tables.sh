#!/usr/bin/env bash
# All GPU tables of benchmarks/README.md, one after the other; rows are printed as they are measured.
# Usage: benchmarks/gpu_tables.sh [PART ...], parts: 1b 8b xl vit mamba growth check compiled
# peers. About 20 minutes; "compiled" 15 more, "peers" wants the tools that peers.py names.
set -uo pipefail
cd "$(dirname "$0")/.."
images=(plain forward ours/keep ours/balanced ours/low_memory)
rows=(row:ours/keep row:ours/balanced row:ours/low_memory)
eager=(plain row:plain forward ours/keep ours/balanced "${rows[@]}")
graphs=(reduce-overhead:forward reduce-overhead:plain reduce-overhead:ours row:reduce-overhead:ours)

measure() { benchmarks/on_device.sh benchmarks.gpu "$@"; }

# Four processes that compile at the same time and are timed one after the other.
together() {
  (measure --turns "$turns" --members 4 --model "$1" --sizes "$2" --runs "${@:3}"; touch "$turns/$1-$2") &
}

for part in "${@:-1b 8b xl vit mamba growth check}"; do
  for name in $part; do
    case "$name" in
      1b) for size in 1x512 1x2048 8x512; do
            measure --model llama-1b --sizes "$size" --runs "${eager[@]}" default:plain default:ours "${graphs[@]}"
          done ;;
      8b) measure --model llama-8b --sizes 1x2048 8x2048 1x16384 --runs "${eager[@]}" --rounds 5 --warm-up 1 ;;
      xl) measure --model gpt2-xl --sizes 1x1024 8x1024 --runs "${eager[@]}" --rounds 8 --warm-up 2 ;;
      vit) measure --model vit-l --sizes 1x0 8x0 32x0 --runs "${images[@]}" ;;
      mamba) measure --model mamba --sizes 1x128 --runs plain "${rows[@]}" --rounds 2 --warm-up 1
             measure --model mamba --sizes 1x512 8x512 1x2048 1x16384 --runs "${rows[@]}" --rounds 5 --warm-up 1 ;;
      compiled) turns="$(mktemp -d)"
                touch "$turns/start"
                together vit-l 8x0 plain ours default:plain default:ours "${graphs[@]:0:3}"
                together vit-l 1x0 plain ours reduce-overhead:plain reduce-overhead:ours
                together gpt2-xl 1x1024 plain row:ours default:plain row:default:ours "${graphs[@]:1}"
                together mamba 1x512 "${rows[@]}" row:default:ours row:reduce-overhead:ours
                wait
                rm -r "$turns"
                measure --model llama-8b --sizes 1x2048 --runs plain row:ours default:plain row:default:ours \
                  reduce-overhead:plain row:reduce-overhead:ours --rounds 8 ;;
      peers) benchmarks/on_device.sh benchmarks.peers --device cuda --batch 8 ;;
      growth) benchmarks/on_device.sh benchmarks.growth ;;
      check) benchmarks/on_device.sh benchmarks.check --device cuda ;;
      *) echo "no part is called $name" >&2; exit 2 ;;
    esac
  done
done
