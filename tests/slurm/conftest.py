import pytest

from tests.slurm.cluster import cluster, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A Slurm of one node that commands of this process and its children talk to."""
    if missing():
        pytest.skip(f"no Slurm can be started: {missing()}")
    with (
        cluster(tmp_path_factory.mktemp("slurm")) as variables,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in variables.items():
            environment.setenv(name, value)
        yield
