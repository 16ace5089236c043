import uuid

import pytest

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.strategies.redis.ids import pack_id, pack_name, unpack_id

CANONICAL = "0f9d2c1a-5b7e-4c3d-8a6f-0123456789ab"
ALIKE = [
    CANONICAL,
    CANONICAL.upper(),
    CANONICAL.replace("-", ""),
    CANONICAL.replace("-", "").upper(),
    f"{{{CANONICAL}}}",
    CANONICAL.replace("-", "_"),
    CANONICAL[:-1],
    CANONICAL.replace("5b7e", "5B7e"),
    "0f9d2c1a 5b7e 4c3d 8a6f 0123456789ab",
    "00112233445566778899aabbccddee  ",
    "xyz",
    "ü" * 18,
    "",
]


@pytest.mark.parametrize("text", ALIKE)
def test_id_comes_back_as_it_was(text):
    assert unpack_id(pack_id(text)) == text


def test_ids_that_look_alike_stay_apart():
    assert len({pack_id(text) for text in ALIKE}) == len(ALIKE)


def test_uuids_are_short():
    assert len(pack_id(str(uuid.uuid4()))) == len(pack_id(uuid.uuid4().hex)) == 17


@pytest.mark.parametrize("name", ["a" * 256, "é" * 128, "\ud800"])
def test_name_that_cannot_be_one_is_refused(name):
    for pack in (pack_name, pack_id):
        with pytest.raises(InvalidPayload):
            pack(name)
