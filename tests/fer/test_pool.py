import itertools
import threading
import time

import pytest

from fer.pool import Pool, prefetch


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("fer-prefetch")}


def test_several_are_made_at_a_time_and_come_in_order():
    together = threading.Barrier(3, timeout=60)
    slower = threading.Event()

    def double(item):
        together.wait()
        if item % 3 == 2:
            slower.set()
        elif item % 3 == 0:
            assert slower.wait(60)
        return 2 * item

    assert list(prefetch(double, range(30), 3, 6)) == list(range(0, 60, 2))
    assert not threads()


def test_never_more_at_a_time_than_asked_for():
    lock = threading.Lock()
    at_work = most = 0

    def count(item):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.001)
        with lock:
            at_work -= 1

    assert len(list(prefetch(count, range(100), 2, 50))) == 100
    assert 1 <= most <= 2


@pytest.mark.parametrize("n_waiting", [1, 7])
def test_endless_items_are_taken_a_little_ahead(n_waiting):
    taken = itertools.count()
    results = prefetch(str, (next(taken) for _ in itertools.count()), 2, n_waiting)
    assert [next(results) for _ in range(5)] == list("01234")
    assert next(taken) == 5 + n_waiting
    results.close()
    assert not threads()


def test_items_are_taken_where_the_results_are_used():
    users = set()

    def items():
        for i in range(5):
            users.add(threading.current_thread())
            yield i

    assert list(prefetch(str, items(), 2, 3)) == list("01234")
    assert users == {threading.current_thread()}


def test_an_error_comes_in_its_place_and_ends_all():
    results = prefetch(lambda item: 1 / (3 - item), range(10), 2, 4)
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not threads()


def test_an_error_of_the_items_ends_all():
    results = prefetch(str, (1 // (3 - i) for i in range(10)), 2, 2)
    assert next(results) == "0"
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not threads()


def test_closing_drops_what_has_not_begun():
    begun = []

    def slow(item):
        begun.append(item)
        time.sleep(0.01)

    results = prefetch(slow, range(2000), 1, 1000)
    next(results)
    results.close()
    assert len(begun) < 1000
    assert not threads()


def test_of_nothing_comes_nothing():
    assert list(prefetch(str, [], 2, 2)) == []


def test_a_pool_makes_as_many_as_are_borrowed_at_once():
    made = itertools.count()
    pool = Pool(lambda: next(made), 2)
    with pool.lend() as one:
        pass
    with pool.lend() as same, pool.lend() as other:
        assert (one, same, other) == (0, 0, 1)
    with pool.lend() as again:
        assert again in (0, 1)
    assert next(made) == 2


def test_what_cannot_be_made_is_tried_again_by_the_next_borrower():
    answers = iter([0, RuntimeError("no more"), 1])

    def make():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pool = Pool(make, 2)
    with pool.lend():
        with pytest.raises(RuntimeError, match="no more"), pool.lend():
            pass
        with pool.lend() as second:
            assert second == 1
