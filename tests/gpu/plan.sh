#!/usr/bin/env bash
# Train the plan of runs that fill nine minutes of a GPU; see README.md beside this file.
. "$(dirname "$0")/environment.sh"
exec "$python" -m tests.gpu.plan "$@"
