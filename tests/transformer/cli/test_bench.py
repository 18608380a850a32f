"""`python -m transformer bench`."""

import json


def test_the_contract(call):
    flags = ["--n-classes", 64, "--runs", 2, "--repeats", 1, "--threads", 1, "--json"]
    result = json.loads(call("transformer", "bench", *flags, "--execution", "eager"))
    assert result["milliseconds_per_step"] > result["floor_milliseconds"] > 0


def test_what_makes_no_bench_is_refused(call):
    for values, names in (((0,), "n_classes=0"), ((1,), "n_classes=1; choose at least 2"),
                          ((), "--n-classes")):  # fmt: skip
        assert names in call("transformer", "bench", "--n-classes", *values, expect=2)
