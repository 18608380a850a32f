#!/usr/bin/env bash
# Check and time the GPU path; see README.md beside this file.
. "$(dirname "$0")/environment.sh"
exec "$python" -m tests.gpu.check "$@"
