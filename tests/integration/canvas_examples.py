"""The examples of "Canvas: Designing Work-flows" in Celery's documentation, one function each.

Each takes a ``Kitchen`` and gives what a user would see of it, as plain values: results, states, types and
texts of exceptions, what callbacks wrote down. Ids are masked, as they differ from run to run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import VERSION, chain, chord, group, signature
from celery.canvas import StampingVisitor
from celery.result import GroupResult, result_from_tuple

from tests.integration.canvas_kitchen import BOUND, masked

if TYPE_CHECKING:
    from tests.integration.canvas_kitchen import Kitchen

Example = Callable[["Kitchen"], Any]
EXAMPLES: dict[str, Example] = {}


def example(function: Example) -> Example:
    EXAMPLES[function.__name__] = function
    return function


def seen(result: Any) -> Any:
    """What ``get`` gives or raises, and the state."""
    if isinstance(result, GroupResult):
        return [seen(each) for each in result]
    value = result.get(timeout=BOUND, propagate=False)
    if isinstance(value, BaseException):
        value = (type(value).__name__, masked(value))
    return (result.state, value)


def upwards(result: Any) -> list[Any]:
    """A result and its parents, the last first."""
    found = []
    while result is not None:
        found.append(seen(result))
        result = result.parent
    return found


# -- signatures, partials, immutability ------------------------------------------------------------


@example
def signature_by_name(k: Kitchen) -> Any:
    return seen(signature("canvas.add", args=(2, 2), countdown=0.1, app=k.app).apply_async())


@example
def signature_fields(k: Kitchen) -> Any:
    s = k.add.signature((2, 2), {"debug": True}, countdown=10)
    return tuple(s.args), s.kwargs, s.options, repr(s), k.add.s(2, 2)(), seen(s.apply_async(countdown=0.1))


@example
def partials(k: Kitchen) -> Any:
    partial, whole = k.add.s(2), k.add.s(2, 2)
    results = [
        partial.delay(4),
        partial.apply_async((4,)),
        whole.delay(debug=True),
        whole.apply_async(kwargs={"debug": True}),
        k.add.s(2).clone(args=(4,), kwargs={"debug": True}).delay(),
    ]
    return [seen(result) for result in results]


@example
def invert_operator(k: Kitchen) -> Any:
    return ~k.add.s(2, 2)


@example
def a_signature_goes_over_the_wire(k: Kitchen) -> Any:
    nested = chain(k.add.s(1, 1), group(k.add.s(2), k.add.s(3)), k.xsum.s())
    return seen(signature(dict(nested), app=k.app).apply_async())


# -- callbacks -------------------------------------------------------------------------------------


@example
def link(k: Kitchen) -> Any:
    result = k.add.apply_async((2, 2), link=k.add.s(8))
    first = seen(result)
    return first, [seen(child) for child in k.children(result, 1)]


@example
def link_immutable(k: Kitchen) -> Any:
    result = k.add.apply_async((2, 2), link=k.add.si(1, 1))
    return seen(result), [seen(child) for child in k.children(result, 1)]


@example
def links_of_links(k: Kitchen) -> Any:
    s = k.add.s(2, 2)
    s.link(k.mul.s(4))
    s.link(k.log_result.s("links"))
    result = s.apply_async()
    return seen(result), [sorted(seen(child)) for child in k.children(result, 1)], k.book("links", 1)


@example
def link_and_collect(k: Kitchen) -> Any:
    result = k.add.apply_async((2, 2), link=k.mul.s(16))
    seen(result)
    k.children(result, 1)
    seen(result.children[0])
    return [value for _, value in result.collect()]


@example
def link_error(k: Kitchen) -> Any:
    result = k.raising.apply_async((), link_error=k.log_error.s("link_error"))
    return seen(result), k.book("link_error", 1)


@example
def link_error_by_id(k: Kitchen) -> Any:
    result = k.raising.apply_async((), link_error=k.log_error_of_id.s("by_id"))
    return seen(result), k.book("by_id", 1)


@example
def on_error(k: Kitchen) -> Any:
    result = k.raising.s().on_error(k.log_error.s("on_error")).delay()
    return seen(result), k.book("on_error", 1)


@example
def on_error_of_a_chain(k: Kitchen) -> Any:
    result = (k.add.s(1, 1) | k.raising.s() | k.add.s(1)).on_error(k.log_error.s("chain_error")).delay()
    return upwards(result), k.book("chain_error", 1)


@example
def link_error_of_a_group(k: Kitchen) -> Any:
    sig = group(k.raising.s(), k.add.s(1, 1))
    sig.link_error(k.log_error.s("group_error"))
    return seen(sig.apply_async()), k.book("group_error", 1)


@example
def link_error_of_a_chord_body(k: Kitchen) -> Any:
    body = k.xsum.s().on_error(k.log_error.s("chord_error"))
    result = chord([k.add.s(1, 1), k.raising.s()], body).apply_async()
    return seen(result), k.book("chord_error", 1)


# -- chains ----------------------------------------------------------------------------------------


@example
def simple_chain(k: Kitchen) -> Any:
    return upwards(chain(k.add.s(2, 2), k.add.s(4), k.add.s(8))())


@example
def piped_chain(k: Kitchen) -> Any:
    return upwards((k.add.s(2, 2) | k.mul.s(8) | k.mul.s(10)).apply_async())


@example
def chain_of_immutables(k: Kitchen) -> Any:
    return upwards((k.add.si(2, 2) | k.add.si(4, 4) | k.add.si(8, 8))())


@example
def partial_chain(k: Kitchen) -> Any:
    return seen((k.add.s(4) | k.mul.s(8))(16))


@example
def chain_of_chains(k: Kitchen) -> Any:
    return seen((k.add.s(4, 16) | k.mul.s(2) | (k.add.s(4) | k.mul.s(8)))())


@example
def chain_of_one(k: Kitchen) -> Any:
    return seen(chain(k.add.s(2, 2)).apply_async())


@example
def chain_with_a_link(k: Kitchen) -> Any:
    result = (k.add.s(1, 1) | k.add.s(2)).apply_async(link=k.log_result.s("chain_link"))
    return seen(result), k.book("chain_link", 1)


@example
def chain_that_fails_in_the_middle(k: Kitchen) -> Any:
    result = (k.add.s(1, 1) | k.raising.s() | k.add.s(1))()
    return upwards(result)


@example
def chain_with_a_retry(k: Kitchen) -> Any:
    return upwards((k.flaky.s(1, 2) | k.add.s(2))())


@example
def chain_with_an_ignored_task(k: Kitchen) -> Any:
    result = (k.ignored.s("ignored") | k.add.s(1))()
    return k.book("ignored", 1), result.parent.state, result.state


@example
def graph_of_a_chain(k: Kitchen) -> Any:
    result = chain(k.add.s(4, 4), k.mul.s(8), k.mul.s(10))()
    result.get(timeout=BOUND)
    top = result.parent.parent
    k.children(top, 1), k.children(result.parent, 1)
    return sorted(masked(line.strip()) for line in str(top.graph).splitlines())


@example
def result_as_tuple(k: Kitchen) -> Any:
    result = (k.add.s(1, 1) | k.add.s(2))()
    return upwards(result_from_tuple(result.as_tuple(), app=k.app))


# -- groups ----------------------------------------------------------------------------------------


@example
def simple_group(k: Kitchen) -> Any:
    return seen(group(k.add.s(i, i) for i in range(10))())


@example
def group_results(k: Kitchen) -> Any:
    result = group([k.add.s(n, n) for n in (2, 4, 8, 16, 32)]).apply_async()
    values = result.get(timeout=BOUND)
    flags = (result.ready(), result.successful(), result.failed(), result.waiting(), result.completed_count())
    return values, flags, result.join(timeout=BOUND), len(result.children)


@example
def saved_group(k: Kitchen) -> Any:
    result = group([k.add.s(1, 1), k.add.s(2, 2)]).apply_async()
    result.save()
    return seen(GroupResult.restore(result.id, app=k.app))


@example
def group_with_a_failure(k: Kitchen) -> Any:
    result = group([k.add.s(1, 1), k.raising.s(), k.add.s(2, 2)])()
    states = seen(result)
    return states, result.failed(), result.successful(), result.completed_count()


@example
def nested_groups(k: Kitchen) -> Any:
    return seen(group(group(k.add.s(1, 1), k.add.s(2, 2)), group([k.add.s(3, 3)]), k.add.s(4, 4))())


@example
def partial_group(k: Kitchen) -> Any:
    return seen(group(k.add.s(1), k.mul.s(2))(16))


@example
def empty_group(k: Kitchen) -> Any:
    return seen(group([], app=k.app).apply_async())


@example
def group_of_chains_and_chords(k: Kitchen) -> Any:
    sig = group(
        k.add.s(1, 1) | k.add.s(2),
        chord([k.add.s(1, 1), k.add.s(2, 2)], k.xsum.s()),
        k.add.s(3, 3) | group(k.add.s(1), k.add.s(2)) | k.xsum.s(),
    )
    return seen(sig())


@example
def group_of_one_chain_that_ends_in_a_group(k: Kitchen) -> Any:
    return seen(group(k.add.s(1, 1) | group(k.add.s(1), k.add.s(2)))())


@example
def revoked_group(k: Kitchen) -> Any:
    result = group([k.add.s(1, 1).set(countdown=2), k.add.s(2, 2).set(countdown=2)])()
    result.revoke()
    return seen(result)


@example
def children_of_a_task_that_sends_a_group(k: Kitchen) -> Any:
    result = k.spawn.delay(3)
    first = seen(result)
    return first, [seen(child) for child in k.children(result, 1)]


# -- chains with groups ----------------------------------------------------------------------------


@example
def group_then_task(k: Kitchen) -> Any:
    return upwards((group(k.add.s(i, i) for i in range(10)) | k.xsum.s())())


@example
def task_then_group(k: Kitchen) -> Any:
    result = (k.add.s(4, 4) | group(k.add.si(i, i) for i in range(10)))()
    return seen(result), seen(result.parent)


@example
def task_then_group_with_arguments(k: Kitchen) -> Any:
    return seen((k.add.s(1) | group(k.mul.s(10), k.mul.s(20))).delay(3))


@example
def chain_of_groups(k: Kitchen) -> Any:
    return seen((group(k.add.s(1, 1), k.add.s(2, 2)) | group(k.xsum.s(), k.xsum.s()) | k.xsum.s())())


@example
def chain_of_groups_at_the_end(k: Kitchen) -> Any:
    return seen((group(k.add.s(1, 1), k.add.s(2, 2)) | group(k.xsum.s(), k.identity.s()))())


@example
def group_task_task_group(k: Kitchen) -> Any:
    sig = group(k.add.s(1, 1), k.add.s(1, 1)) | k.xsum.s() | k.add.s(1) | group(k.add.s(1), k.add.s(1))
    return seen(sig.apply_async())


@example
def task_group_of_chains(k: Kitchen) -> Any:
    return seen((k.add.s(5, 6) | group(k.add.s(1) | k.add.s(2), k.add.s(3)))())


@example
def failing_group_then_task(k: Kitchen) -> Any:
    return seen((group(k.add.s(1, 1), k.raising.s()) | k.xsum.s())())


# -- chords ----------------------------------------------------------------------------------------


@example
def simple_chord(k: Kitchen) -> Any:
    return upwards(chord((k.add.s(i, i) for i in range(10)), k.xsum.s())())


@example
def called_chord(k: Kitchen) -> Any:
    callback = k.xsum.s()
    header = [k.add.s(i, i) for i in range(20)]
    return seen(chord(header, app=k.app)(callback))


@example
def chord_with_an_immutable_body(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1), k.add.s(2, 2)], k.add.si(7, 7)).apply_async())


@example
def empty_chord(k: Kitchen) -> Any:
    return seen(chord([], k.xsum.s(), app=k.app).apply_async())


@example
def chord_of_one(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1)], k.xsum.s()).apply_async())


@example
def chord_with_an_error(k: Kitchen) -> Any:
    return upwards(chord([k.add.s(4, 4), k.raising.s(), k.add.s(8, 8)], k.xsum.s())())


@example
def chord_with_an_error_in_its_body(k: Kitchen) -> Any:
    return seen(chord([k.add.s(4, 4), k.add.s(8, 8)], k.raising.s())())


@example
def chord_with_a_retry(k: Kitchen) -> Any:
    return seen(chord([k.add.s(4, 4), k.flaky.s(8, 2)], k.xsum.s())())


@example
def chord_with_a_chain_as_body(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1), k.add.s(2, 2)], k.xsum.s() | k.add.s(1) | k.mul.s(2))())


@example
def chord_with_a_group_as_body(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1), k.add.s(2, 2)], group(k.xsum.s(), k.identity.s()))())


@example
def chord_in_a_chord(k: Kitchen) -> Any:
    inner = chord([k.add.s(1, 1), k.add.s(2, 2)], k.xsum.s())
    return seen(chord([inner, k.add.s(3, 3)], k.xsum.s())())


@example
def failing_chord_in_a_chord(k: Kitchen) -> Any:
    """Celery 5.7 never tells the outer body: its header is looked at, and that this is no different."""
    inner = chord([k.add.s(1, 1), k.raising.s()], k.xsum.s())
    result = chord([inner, k.add.s(3, 3)], k.xsum.s())()
    return seen(result.parent), result.state


@example
def chord_of_chains(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1) | k.add.s(1), k.add.s(2, 2) | k.add.s(2)], k.xsum.s())())


@example
def chord_of_a_failing_chain(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1) | k.raising.s() | k.add.s(1), k.add.s(2, 2)], k.xsum.s())())


@example
def chord_then_task(k: Kitchen) -> Any:
    return seen((chord([k.add.s(1, 1), k.add.s(2, 2)], k.xsum.s()) | k.add.s(1))())


@example
def task_then_chord(k: Kitchen) -> Any:
    return seen((k.add.s(1, 1) | chord([k.add.s(1), k.add.s(2)], k.xsum.s()) | k.mul.s(2))())


@example
def chord_with_a_link(k: Kitchen) -> Any:
    sig = chord([k.add.s(1, 1), k.add.s(2, 2)], k.xsum.s())
    sig.link(k.log_result.s("chord_link"))
    return seen(sig.apply_async()), k.book("chord_link", 1)


@example
def chord_that_grows(k: Kitchen) -> Any:
    return seen(chord([k.extend_chord.s(1), k.add.s(2, 2)], k.xsum.s())())


# -- map, starmap, chunks --------------------------------------------------------------------------


@example
def mapped(k: Kitchen) -> Any:
    return ~k.xsum.map([list(range(10)), list(range(100))])


@example
def starmapped(k: Kitchen) -> Any:
    return ~k.add.starmap(zip(range(10), range(10), strict=True))


@example
def starmapped_later(k: Kitchen) -> Any:
    return seen(k.add.starmap(zip(range(10), range(10), strict=True)).apply_async(countdown=0.1))


@example
def starmap_in_a_group(k: Kitchen) -> Any:
    return seen(group(k.add.starmap([(1, 1), (2, 2)]), k.add.s(3, 3))())


@example
def starmap_in_a_chord(k: Kitchen) -> Any:
    return seen(chord([k.add.starmap([(1, 1), (2, 2)]), k.xsum.map([[1, 2], [3]])], k.identity.s())())


@example
def chunked(k: Kitchen) -> Any:
    return seen(k.add.chunks(zip(range(100), range(100), strict=True), 10)())


@example
def chunks_as_a_group(k: Kitchen) -> Any:
    made = k.add.chunks(zip(range(20), range(20), strict=True), 10).group()
    return seen(made.skew(start=0.1, stop=0.3, step=0.1)())


@example
def chunks_in_a_chord(k: Kitchen) -> Any:
    return seen((k.add.chunks(zip(range(4), range(4), strict=True), 2).group() | k.identity.s())())


# -- replace ---------------------------------------------------------------------------------------


def _replaced(how: str) -> Example:
    def run(k: Kitchen) -> Any:
        return seen(k.replaced.delay(5, how))

    return run


REPLACEMENTS = ["task", "chain", "group", "chord", "replaced"]
if VERSION >= (5, 7):  # earlier versions never end a job that is replaced by a chain with a group at its end
    REPLACEMENTS.append("chain of group")

for _how in (*REPLACEMENTS, "error", "failing chord"):
    EXAMPLES[f"replaced_by_{_how.replace(' ', '_')}"] = _replaced(_how)


@example
def replaced_by_a_failing_chain(k: Kitchen) -> Any:
    result = k.replaced.apply_async((5, "failing chain"), link_error=k.log_error.s("failing_replacement"))
    return seen(result), k.book("failing_replacement", 1)


@example
def replaced_in_a_chain(k: Kitchen) -> Any:
    return [seen((k.replaced.s(5, how) | k.identity.s())()) for how in ("task", "chain", "group", "chord")]


@example
def replaced_in_a_chord(k: Kitchen) -> Any:
    header = [k.replaced.s(5, how) for how in ("task", "chain", "chord", "replaced")]
    return seen(chord([*header, k.add.s(1, 1)], k.xsum.s())())


@example
def replaced_with_callbacks(k: Kitchen) -> Any:
    result = k.replaced.apply_async((5, "chain"), link=k.log_result.s("replaced_link"))
    return seen(result), k.book("replaced_link", 1)


@example
def replaced_body(k: Kitchen) -> Any:
    return seen(chord([k.add.s(1, 1)], k.replaced.si(5, "chord"))())


# -- what a task sees ------------------------------------------------------------------------------


@example
def relations(k: Kitchen) -> Any:
    alone, chained = k.relations.delay(), (k.relations.si() | k.relations.si())()
    grouped = group(k.relations.si(), k.relations.si())()
    body = chord([k.relations.si(), k.relations.si()], k.relations.si())()
    return seen(alone), upwards(chained), seen(grouped), upwards(body)


class Stamps(StampingVisitor):
    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"monitoring": "m-1", "stamped_headers": ["monitoring"]}


@example
def stamped(k: Kitchen) -> Any:
    found = []
    for sig in (
        k.stamps.si(),
        k.stamps.si() | k.stamps.si(),
        group(k.stamps.si(), k.stamps.si()),
        chord([k.stamps.si()], k.stamps.si()),
    ):
        sig.stamp(Stamps())
        found.append(seen(sig.apply_async()))
    by_hand = k.stamps.si()
    by_hand.stamp(stamp="a", other="b")
    return [*found, seen(by_hand.apply_async())]


if VERSION < (5, 7):  # there these hang, or call a callback twice, with plain tasks as well
    for _name in ("link_error_by_id", "saved_group", "replaced_with_callbacks"):
        del EXAMPLES[_name]
