"""What every test needs: one thread, so that results are the same on every machine with any load."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)
