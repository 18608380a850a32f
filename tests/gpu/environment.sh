# Set `python`, and let it import this repository from any folder; check.sh and plan.sh source this.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
python=${PYTHON:-$(command -v python || command -v python3)}
needed="torch numpy safetensors tyro typeguard docstring_parser rich"
missing=$("$python" -c '
import sys
from importlib.util import find_spec
if sys.version_info < (3, 11):
    sys.exit(f"it is Python {sys.version.split()[0]}, and 3.11 is needed")
sys.exit("it lacks " + lacking if (lacking := " ".join(n for n in sys.argv[1:] if not find_spec(n))) else 0)
' $needed 2>&1) || {
    echo "$0: error: '$python' cannot be used: ${missing##*$'\n'}; set PYTHON=/path/to/python, or see" \
        "'A machine without a network' in $root/tests/gpu/README.md" >&2
    exit 2
}
