"""How large the runs of a paper are made."""

from typing import Literal

Scale = Literal["smoke", "cpu", "paper"]
"""`paper`: as published; `cpu`: what two cores can do; `smoke`: seconds, to see that all works."""
