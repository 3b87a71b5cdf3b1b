"""Signatures of webhooks are those of the Standard Webhooks specification."""

import pytest

from catalog.errors import InvalidValue
from catalog.messages import webhook
from catalog.secrets import Secret
from tests.support.receivers import Sent, is_genuine


def test_the_published_example_comes_out() -> None:
    """The example by which the specification's own libraries are tested has the same signature here."""
    made = webhook.headers(
        [Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at_s=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_changed_both_verify() -> None:
    """A receiver that knows either secret takes the message; one that knows neither, or altered bytes, does not."""
    new, old, other = (webhook.new_secret() for _ in range(3))
    headers = webhook.headers([new, old], message_id="event_7", at_s=1, body=b"{}")
    sent = Sent(url="", headers=headers, body=b"{}")
    assert is_genuine(sent, new.reveal())
    assert is_genuine(sent, old.reveal())
    assert not is_genuine(sent, other.reveal())
    assert not is_genuine(Sent(url="", headers=headers, body=b"{ }"), new.reveal())
    late = {**headers, "webhook-timestamp": "2"}
    assert not is_genuine(Sent(url="", headers=late, body=b"{}"), new.reveal())
    with pytest.raises(InvalidValue):
        webhook.headers([Secret("whsec_?")], message_id="x", at_s=1, body=b"")
