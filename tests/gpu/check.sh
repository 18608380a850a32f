#!/usr/bin/env bash
# Check and time the GPU path; see README.md beside this file.
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"
export COOPETITION_PROGRESS=0  # so that the rows stay together
exec "$python" -m tests.gpu check "$@"
