#!/usr/bin/env bash
# Builds the C++ core with the address and undefined-behaviour sanitizers and feeds it random
# input, good and bad, through its Python binding. Takes PYTHON from the environment; about a
# minute.
set -euo pipefail
cd "$(dirname "$0")/.."
python="$(command -v "${PYTHON:-python3}")"
build="build/sanitize"
cmake -S csrc -B "$build" -DGMRD_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DPython_EXECUTABLE="$python" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build" --parallel >/dev/null
# The interpreter itself is not instrumented, so the runtime has to be loaded before it. Python
# keeps memory until it exits, which is no leak of the core's.
export LD_PRELOAD="$(${CXX:-g++} -print-file-name=libasan.so) $(${CXX:-g++} -print-file-name=libstdc++.so.6)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
PYTHONPATH="$build" "$python" tests/supervoxels/fuzz_core.py --seconds "${SECONDS_TO_FUZZ:-30}"
