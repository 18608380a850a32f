# Set `python`, and let it import this repository from any folder; check.sh and plan.sh source this.
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
python=${PYTHON:-$(command -v python || command -v python3)}
needed="torch numpy safetensors tyro typeguard docstring_parser rich"
missing=$("$python" -c '
import sys
if sys.version_info < (3, 11):  # older ones must be able to read this
    sys.exit("it is Python %d.%d, and 3.11 is needed" % sys.version_info[:2])
from importlib.metadata import version
from importlib.util import find_spec
missing = [name for name in sys.argv[1:] if not find_spec(name)]
if missing:
    sys.exit("it lacks " + " ".join(missing))
if list(map(int, version("torch").split(".")[:2])) < [2, 10]:
    sys.exit("it has torch " + version("torch") + ", and 2.10 is needed")
' $needed 2>&1) || {
    echo "$0: error: '$python' cannot be used: ${missing##*$'\n'}; set PYTHON=/path/to/python, or see" \
        "'A machine without a network' in $root/tests/gpu/README.md" >&2
    exit 2
}
