#!/usr/bin/env bash
# All GPU tables of benchmarks/README.md, one after the other; rows are printed as they are measured.
# Usage: benchmarks/gpu_tables.sh [PART ...], parts: 1b 8b xl vit mamba growth check compiled
# peers. About 20 minutes; "compiled" as long again, "peers" wants the tools that peers.py names.
set -uo pipefail
cd "$(dirname "$0")/.."
images=(plain forward ours/keep ours/balanced ours/low_memory)
rows=(row:ours/keep row:ours/balanced row:ours/low_memory)
eager=(plain row:plain forward ours/keep ours/balanced "${rows[@]}")
graphs=(reduce-overhead:forward reduce-overhead:plain reduce-overhead:ours row:reduce-overhead:ours)

measure() { benchmarks/on_device.sh benchmarks.gpu "$@"; }

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
      compiled) measure --model vit-l --sizes 8x0 --runs plain default:plain default:ours "${graphs[@]:0:3}"
                measure --model gpt2-xl --sizes 1x1024 --runs plain default:plain default:ours "${graphs[@]}"
                measure --model llama-8b --sizes 1x2048 --runs plain default:plain row:default:ours
                measure --model mamba --sizes 1x512 --runs row:ours row:default:ours row:reduce-overhead:ours ;;
      peers) benchmarks/on_device.sh benchmarks.peers --device cuda --batch 8 ;;
      growth) benchmarks/on_device.sh benchmarks.growth ;;
      check) benchmarks/on_device.sh benchmarks.check --device cuda ;;
      *) echo "no part is called $name" >&2; exit 2 ;;
    esac
  done
done
