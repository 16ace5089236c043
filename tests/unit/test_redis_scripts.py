from itertools import product
from pathlib import Path

import pytest

from celery_jobtrack.model.lock import OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason, is_legal
from celery_jobtrack.strategies.redis import fields, scripts
from celery_jobtrack.testing import steps

FOLDER = Path(scripts.__file__).parent / "lua"
PARTS = {
    "core",
    "jobs",
    "attempts",
    "lines",
    "timed",
    "gates",
    "locks",
    "standing",
    "groups",
    "events",
    "transition",
    "started",
    "change",
    "members",
    "workers",
}
SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.lua")} - PARTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_known_to_the_server_by_our_digest(name, redis_client):
    script = scripts.script(name)
    assert redis_client.script_load(script.source) == script.digest.decode()


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_opens_with_what_it_does(name):
    lines = (FOLDER / f"{name}.lua").read_text().splitlines()
    assert lines[0].startswith("-- uses: ")
    assert lines[1].startswith("-- ")


def test_script_with_a_name_that_is_none_is_refused():
    with pytest.raises(KeyError):
        scripts._plain("job[J.nonsense] = 1")


def test_scripts_forgotten_by_the_server_are_sent_again(redis_store, redis_client):
    steps.enqueue(redis_store)
    redis_client.script_flush()
    assert steps.start(redis_store).admitted


@pytest.mark.parametrize(("before", "after"), list(product([None, *JobState], JobState)))
def test_legal_moves_are_those_of_the_model(before, after):
    table = str(fields.IN_LUA["C"]["legal"]).strip("'")
    place = 10 * (fields.STATES[before] if before else 0) + fields.STATES[after]
    assert (table[place] == "1") is is_legal(before, after)


@pytest.mark.parametrize(
    ("codes", "members"),
    [
        (fields.STATES, JobState),
        (fields.GROUP_STATES, GroupState),
        (fields.OUTCOMES, Outcome),
        (fields.REASONS, Reason),
        (fields.KINDS, EventKind),
        (fields.REFUSALS, Refusal),
        (fields.CONFLICTS, OnConflict),
        (fields.STANDINGS, Standing),
    ],
)
def test_every_name_has_a_number_of_its_own(codes, members):
    assert set(codes) == set(members)
    assert len(set(codes.values())) == len(codes)


@pytest.mark.parametrize(
    "codes", [fields.JOB, fields.ATTEMPT, fields.GROUP, fields.EVENT, fields.WORKER, fields.LOCK]
)
def test_every_field_has_a_number_of_its_own(codes):
    assert sorted(codes.values()) == list(range(1, len(codes) + 1))


def test_illegal_move_is_refused_before_anything_is_written(redis_store, redis_client):
    steps.group(redis_store)
    steps.enqueue(redis_store, group_id="g")
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    with pytest.raises(ValueError, match="cannot move from ENQUEUED to RETRY"):
        steps.settle(redis_store, "job", JobState.RETRY, Reason.ERROR, guards={"outcome": Outcome.RETRY})
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before
