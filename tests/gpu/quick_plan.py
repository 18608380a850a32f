"""The plan of `plan.py` at scale smoke, to try it without a GPU."""

from tests.gpu.plan import make_plan

PLAN = make_plan("smoke")
