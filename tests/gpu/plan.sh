#!/usr/bin/env bash
# Train the plan of runs that fill nine minutes of a GPU; see README.md beside this file.
set -u
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python}" -m tests.gpu.plan "$@"
