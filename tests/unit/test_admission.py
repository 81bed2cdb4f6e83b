import pytest

from nodes.admission import Admission
from privox_dht.errors import Busy, ConfigError


def test_a_slot_is_held_while_the_job_lasts():
    admission = Admission(2)
    with admission.enter():
        assert admission.idle == 1
        with admission.enter():
            assert admission.idle == 0
    assert admission.idle == 2


def test_without_a_slot_it_is_busy_and_says_when_to_ask_again():
    admission = Admission(1)
    with admission.enter(), pytest.raises(Busy) as caught, admission.enter():
        pass
    assert caught.value.retry_after > 0
    assert admission.idle == 1


def test_a_job_that_breaks_gives_its_slot_back():
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission.enter():
        _ = 1 / 0
    assert admission.idle == 1


def test_a_closed_admission_lets_nothing_new_begin_and_what_runs_end():
    admission = Admission(2)
    with admission.enter():
        admission.close()
        with pytest.raises(Busy), admission.enter():
            pass
    assert admission.taken == 0
    assert admission.idle == 0
    assert repr(admission) == "<Admission 0 of 2 idle, closed>"


def test_the_mesh_hears_of_every_change():
    seen = []
    admission = Admission(1, lambda: seen.append(admission.idle))
    with admission.enter():
        pass
    assert seen == [0, 1]


@pytest.mark.parametrize("slots", [0, -1, 256])
def test_impossible_numbers_of_slots_are_refused(slots):
    with pytest.raises(ConfigError, match="between 1 and 255"):
        Admission(slots)
