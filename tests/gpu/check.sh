#!/usr/bin/env bash
# Check and time the GPU path; see README.md beside this file.
set -u
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python}" -m tests.gpu.check "$@"
