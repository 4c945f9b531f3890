#!/usr/bin/env bash
# Writes the exact versions and hashes of core.txt, test.txt, st.txt and spark.txt from pyproject.toml. Needs a package index.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${1:-python3}" -m venv "$tools"
"$tools/bin/pip" install -q pip-tools
compile=("$tools/bin/pip-compile" -q --generate-hashes --strip-extras --allow-unsafe --no-annotate --no-header
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options)
"${compile[@]}" --extra dev --extra service --extra notebooks --extra sigma -o constraints/test.txt pyproject.toml
"${compile[@]}" -c constraints/test.txt -o constraints/core.txt pyproject.toml
echo "torch==2.13.0" > constraints/torch.txt
"${compile[@]}" --extra st --extra train -c constraints/test.txt -c constraints/torch.txt -o "$tools/st.txt" pyproject.toml
"${compile[@]}" --extra spark -c constraints/test.txt -o "$tools/spark.txt" pyproject.toml
# What torch itself brings (its CUDA parts among it) is left to constraints/torch.txt; what test.txt has is left out too.
beyond() {
  awk -v core=constraints/test.txt '
  BEGIN { while ((getline line < core) > 0) if (line ~ /^[a-z0-9]/) { split(line, p, "=="); have[p[1]] = 1 } }
  /^[a-z0-9]/ { split($0, p, "=="); keep = !(p[1] in have) && p[1] !~ /^(torch|triton|nvidia-|cuda-)/ }
  keep { print }' "$tools/$1.txt" > "constraints/$1.txt"
}
beyond st
beyond spark
