#!/usr/bin/env bash
# Train the plan of runs that fill nine minutes of a GPU; see README.md beside this file.
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"
exec "$python" -m tests.gpu plan "$@"
