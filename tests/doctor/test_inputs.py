"""How a model was called: which tensor matters, what a row is, and what a copy of the call holds."""

import pytest
import torch

from didact.doctor.inputs import Inputs, places_of, tensors_in
from didact.doctor.rows import fingerprints

TABLE = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(7, (6, 12), generator=torch.Generator().manual_seed(0))


def test_the_tensor_that_matters_is_found_wherever_it_is():
    count, other = torch.tensor(3), torch.zeros(2)
    assert Inputs((count, {"pixels": TABLE, "more": other})).tensor is TABLE
    assert Inputs((), {"batch": {"ids": (count, TOKENS)}}).tensor is TOKENS
    assert Inputs(("text", 3)).tensor is None


def test_of_a_table_of_names_and_numbers_the_numbers_are_measured():
    names, numbers, more = torch.arange(6).reshape(3, 2), torch.randn(3, 4), torch.randn(3, 1)
    inputs = Inputs((names, numbers, more))
    assert torch.equal(inputs.rows, torch.cat([names.float(), numbers, more], 1))
    for each in (inputs, Inputs((numbers, names, more))):
        assert torch.equal(each.numbers_of_rows, torch.cat([numbers, more], 1))
    columns = Inputs((numbers[:, 0], numbers[:, 1]))
    assert torch.equal(columns.numbers_of_rows, numbers[:, :2])
    assert torch.equal(Inputs((numbers, more)).numbers_of_rows, torch.cat([numbers, more], 1))


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


# Words of all rows in one line


def test_bags_of_words_are_rows_again():
    words, begins = torch.tensor([5, 6, 7, 8, 9, 1]), torch.tensor([0, 2, 3])
    columns = torch.randn(3, 2)
    inputs = Inputs((words, begins, columns))
    assert inputs.rows is inputs.bags
    assert inputs.rows is not None
    assert inputs.rows.tolist() == [[5, 6, 0], [7, 0, 0], [8, 9, 1]]
    assert inputs.numbers_of_rows is columns
    identity = inputs.identity()
    assert identity is not None
    assert torch.equal(identity, torch.cat([columns, inputs.rows], 1).double())
    ends = Inputs((words, torch.tensor([0, 2, 3, 6]))).rows
    assert ends is not None
    assert torch.equal(ends, inputs.rows)


@pytest.mark.parametrize("other", [[1, 2, 3], [0, 3, 2], [0, 2, 9]])
def test_other_whole_numbers_beside_a_line_of_words_do_not_part_it(other):
    assert Inputs((torch.arange(6), torch.tensor(other))).bags is None


def test_an_empty_row_at_the_end_is_a_row():
    inputs = Inputs((torch.tensor([5, 6, 7, 7]), torch.tensor([0, 2, 4]), torch.zeros(3, 1)))
    assert inputs.rows is not None
    assert inputs.rows.tolist() == [[5, 6], [7, 7], [0, 0]]


def test_a_row_is_the_same_however_far_it_was_filled_up():
    words = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 8]])
    wide = Inputs((words, {"mask": (words > 0).long()})).identity()
    short = Inputs((words[:1, :2], {"mask": (words > 0).long()[:1, :2]})).identity()
    assert wide is not None
    assert short is not None
    assert fingerprints(wide)[0] == fingerprints(short)[0]


def test_numbers_beside_names_are_what_rows_measure():
    names, numbers = torch.randint(5, (4, 3)), torch.randn(4, 2)
    assert Inputs((numbers,)).numbers_of_rows is numbers
    assert Inputs((names,)).numbers_of_rows is None
    assert Inputs((names, torch.ones(4, 3))).numbers_of_rows is None  # a mask


def test_a_mask_that_is_added_measures_nothing():
    words = torch.randint(5, (4, 3))
    assert (
        Inputs((words, torch.zeros(4, 3).index_fill_(1, torch.tensor([2]), -torch.inf))).numbers_of_rows
        is None
    )


def test_numbers_before_words_that_were_filled_up_tell_the_same_row():
    picture, words = torch.randn(2, 3, 4), torch.tensor([[3, 4, 0], [5, 6, 7]])
    wide, short = Inputs((picture, words)).identity(), Inputs((picture[:1], words[:1, :2])).identity()
    assert wide is not None
    assert short is not None
    assert fingerprints(wide)[0] == fingerprints(short)[0]
