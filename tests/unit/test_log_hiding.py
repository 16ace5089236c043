"""Secrets in free text are hidden where their name stands before them."""

from __future__ import annotations

import time

import pytest

from celery_jobtrack.config import REDACTED
from celery_jobtrack.tracking.logs.hiding import HIDDEN, Hiding

hide = Hiding(REDACTED)


@pytest.mark.parametrize(
    "text",
    [
        "cannot log in: password=hunter2",
        "cannot log in: password = hunter2",
        "db_password: hunter2",
        "PASSWORD=hunter2,x",
        "password='hun ter2'",
        'login(user, password="hun\\"ter2", port=3)',
        "b'x' api_key=b'hunter2'",
        "{'user': 'ann', 'password': 'hun ter2', 'port': 3}",
        '{"user": "ann", "token": "hunter2"}',
        '"{\\"token\\": \\"hun ter2\\"}"',
        "{'tokens': ['a', 'hunter2']}",
        "https://example.com/?a=b&token=hunter2&c=d",
        "X-Api-Key: hunter2",
        "Authorization: Bearer hunter2",
        "Authorization: Basic hunter2",
        "user=password=hunter2",
        'if password == "hunter2":',
        'if password != "hunter2":',
        "password='hunter2",
    ],
)
def test_a_value_after_the_name_of_a_secret_is_hidden(text):
    hidden = hide(text)
    assert HIDDEN in hidden
    assert "ter2" not in hidden


@pytest.mark.parametrize(
    "text",
    [
        "",
        "boom",
        "user=ann port: 3",
        "jwt.InvalidTokenError: the signature has expired",
        "PasswordWarning: it is short",
        "enter your password",
        "password:\n  File x.py, line 3",
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert hide(text) == text


def test_what_stands_around_a_secret_stays():
    text = "{'user': 'ann', 'password': 'hunter2', 'port': 3}"
    assert hide(text) == f"{{'user': 'ann', 'password': {HIDDEN}, 'port': 3}}"
    assert hide("a token=x b secret: y c") == f"a token={HIDDEN} b secret: {HIDDEN} c"


def test_names_are_those_of_the_setting():
    assert Hiding(("pin",))("pin=1234 password=hunter2") == f"pin={HIDDEN} password=hunter2"
    assert Hiding(())("password=hunter2") == "password=hunter2"


@pytest.mark.parametrize(
    "unit", ["a", "token", "token=", "token ", "\\", "'", "\\'", "token='\\", "a=", "=", " "]
)
@pytest.mark.parametrize("head", ["", "token", "token=", "token='", 'token=\\"'])
def test_no_text_takes_long(head, unit):
    text = head + unit * (16_384 // len(unit))
    begun = time.process_time()
    hide(text)
    assert time.process_time() - begun < 0.5
