"""How large the runs of a paper are made."""

from typing import Literal

Scale = Literal["smoke", "cpu", "gpu", "paper"]
"""`paper`: as published; `gpu`: what one GPU trains in hours, where the published runs take longer;
`cpu`: what two cores can do; `smoke`: seconds, to test that everything works."""
