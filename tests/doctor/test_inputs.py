"""How a model was called: which tensor matters, what a row is, and what a copy of the call holds."""

import torch

from didact.doctor.inputs import Inputs, places_of, tensors_in

TABLE = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(7, (6, 12), generator=torch.Generator().manual_seed(0))


def test_the_tensor_that_matters_is_found_wherever_it_is():
    count, other = torch.tensor(3), torch.zeros(2)
    assert Inputs((count, {"pixels": TABLE, "more": other})).tensor is TABLE
    assert Inputs((), {"batch": {"ids": (count, TOKENS)}}).tensor is TOKENS
    assert Inputs(("text", 3)).tensor is None


def test_two_columns_make_rows_of_two():
    users, items = torch.tensor([0, 1, 2]), torch.tensor([5, 4, 3])
    rows = Inputs((users,), {"items": items}).rows
    assert rows is not None
    assert rows.tolist() == [[0, 5], [1, 4], [2, 3]]
    assert Inputs((users,)).rows is users
    assert Inputs((users, torch.arange(4))).rows is users  # another length: no other column
    assert Inputs((TABLE, torch.zeros(6))).rows is TABLE


def test_another_tensor_takes_its_place_and_nothing_else_changes():
    other, mask = torch.zeros(2, 5), torch.ones(1)
    inputs = Inputs((3,), {"batch": {"x": TABLE, "mask": mask, "pair": [TABLE, (mask, "text")]}})
    batch = inputs.having(other).kwargs["batch"]
    assert batch["x"] is other
    assert batch["mask"] is mask
    assert batch["pair"][0] is other
    assert batch["pair"][1] == (mask, "text")
    assert inputs.having(other).args == (3,)
    assert inputs.tensor is TABLE


def test_a_copy_of_a_call_is_not_written_over() -> None:
    table, ids, edges = TABLE.clone(), TOKENS.clone(), torch.eye(6).to_sparse()
    kept = Inputs((table, edges), {"ids": ids, "scale": 2}).apart()
    table.zero_()
    ids.zero_()
    assert torch.equal(kept.args[0], TABLE)
    assert torch.equal(kept.kwargs["ids"], TOKENS)
    assert (kept.args[1] is edges, kept.kwargs["scale"], kept.numbers) == (True, 2, 6 * 5 + 6 * 12)


def test_tensors_are_found_in_what_is_nested_and_sparse_ones_are_not() -> None:
    nested = {"a": [TABLE, (TOKENS, "text")], "graph": torch.eye(3).to_sparse()}
    assert all(found is known for found, known in zip(tensors_in(nested), (TABLE, TOKENS), strict=True))
    assert places_of(nested) == {TABLE.data_ptr(), TOKENS.data_ptr()}
