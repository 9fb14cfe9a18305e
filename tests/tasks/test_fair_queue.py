"""Each key in turn, each key's own in their order."""

from dataclasses import dataclass

from relay.tasks.fair_queue import FairQueue


@dataclass(frozen=True)
class Item:
    key_id: str
    number: int = 0
    lane: str = ""


def queue_of(*items: Item) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue()
    for item in items:
        queue.add(item)
    return queue


def taken(queue: FairQueue[Item], blocked: str = "") -> list[tuple[str, int]]:
    order = []
    while (item := queue.next(lambda item: item.key_id != blocked)) is not None:
        assert queue.take(item)
        order.append((item.key_id, item.number))
    return order


def test_one_keys_many_do_not_keep_anothers_one_waiting() -> None:
    queue = queue_of(*(Item("a", number) for number in range(4)), Item("b"), Item("c"))
    assert taken(queue) == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("a", 2), ("a", 3)]
    assert len(queue) == 0


def test_a_key_that_may_not_run_is_passed_over_and_keeps_its_place() -> None:
    queue = queue_of(Item("a", 0), Item("a", 1), Item("b", 0), Item("b", 1))
    assert taken(queue, blocked="a") == [("b", 0), ("b", 1)]
    assert len(queue) == 2
    assert taken(queue) == [("a", 0), ("a", 1)]


def test_a_lane_that_may_not_run_blocks_no_other_of_its_key() -> None:
    queue = queue_of(Item("a", 0, "x"), Item("a", 1, "x"), Item("a", 2, "y"))
    asked: list[int] = []

    def may_run(item: Item) -> bool:
        asked.append(item.number)
        return item.lane == "y"

    assert queue.next(may_run) == Item("a", 2, "y")
    assert asked == [0, 2], "each lane is asked for once"


def test_asking_takes_nobody() -> None:
    queue = queue_of(Item("a"))
    assert queue.next(lambda _: True) == queue.next(lambda _: True) == Item("a")
    assert queue.next(lambda _: False) is None
    assert len(queue) == 1


def test_who_left_is_not_taken() -> None:
    queue = queue_of(Item("a", 0), Item("a", 1))
    assert queue.remove(Item("a", 0))
    assert not queue.remove(Item("a", 0))
    assert not queue.take(Item("a", 0))
    assert not queue.remove(Item("b"))
    assert [item.number for item in queue.all()] == [1]


def test_who_leaves_while_it_is_asked_for_is_passed_over() -> None:
    queue = queue_of(Item("a"), Item("b"))

    def may_run(item: Item) -> bool:
        queue.remove(Item("b"))
        return item.key_id != "a"

    assert queue.next(may_run) is None
