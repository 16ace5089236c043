"""The small selection of the compatibility matrix leaves no pair out."""

from __future__ import annotations

from itertools import product

from tests.matrix.cells import BROKERS, POOLS, STORES, every_cell, pairwise


def test_every_two_values_meet_in_a_cell_of_the_selection():
    chosen = pairwise(every_cell())
    assert {(cell.broker, cell.store) for cell in chosen} == set(product(BROKERS, STORES))
    assert {(cell.broker, cell.pool) for cell in chosen} == set(product(BROKERS, POOLS))
    assert {(cell.store, cell.pool) for cell in chosen} == set(product(STORES, POOLS))


def test_the_selection_is_small_and_the_same_each_time():
    chosen = pairwise(every_cell())
    assert chosen == pairwise(every_cell())
    assert len(set(chosen)) == len(chosen)
    assert len(chosen) <= len(BROKERS) * len(POOLS) + 2  # no selection can have fewer than the product


def test_every_cell_is_the_full_product():
    assert len(set(every_cell())) == len(BROKERS) * len(STORES) * len(POOLS)
