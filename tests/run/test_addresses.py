"""Notifications arrive at real receivers, and their addresses, which are secrets, arrive nowhere else."""

import logging
import socket

import pytest
from support.receivers import Webhook, mail_server

from riskpipe.config.alerts import AlertsConfig
from riskpipe.errors import ConfigError
from riskpipe.run.addresses import Address, Undelivered, addressed, addresses_of, send, without_secrets

CANARY = "canaryTweetSecret"


@pytest.fixture
def log(caplog):
    """Every log of every library, at every level."""
    caplog.set_level(logging.DEBUG)
    for name in ("apprise", "urllib3", "urllib3.connectionpool", "requests"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def test_a_webhook_and_a_mailbox_are_told_and_no_log_holds_their_address(log, capfd):
    with Webhook() as hook, mail_server("desk", CANARY) as (port, messages):
        send(Address("A", f"json://desk:{CANARY}@127.0.0.1:{hook.port}/{CANARY}-path"), "over", "line one\nline two")
        send(
            Address("B", f"mailto://desk:{CANARY}@127.0.0.1:{port}?smtp=127.0.0.1&from=a@x.example&to=b@y.example"),
            "over",
            "line one",
        )
    ((path, post),) = hook.posts
    assert path == f"/{CANARY}-path"
    assert (post["title"], post["message"]) == ("over", "line one\nline two")
    (message,) = messages
    assert message["Subject"] == "over"
    assert message["To"] == "b@y.example"
    assert "line one" in message.get_body(("plain", "html")).get_content()
    said = capfd.readouterr()
    of_sender = [record.getMessage() for record in log.records if not record.name.startswith("mail.")]
    assert CANARY not in f"{of_sender}{said.out}{said.err}"
    assert CANARY not in repr(Address("A", f"json://{CANARY}"))


def test_a_delivery_that_fails_says_why_after_its_tries_without_the_address(log, capfd):
    with Webhook() as hook:
        hook.is_down = True
        address = Address("A", f"json://127.0.0.1:{hook.port}/{CANARY}?+X-Key={CANARY}")
        with pytest.raises(Undelivered, match="503") as refused:
            send(address, "over", "text", pauses_s=(0.0, 0.0))
        assert hook.n_refused == 3
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Undelivered) as lost:
            send(Address("B", f"json://{CANARY}.invalid:{closed.getsockname()[1]}/x"), "over", "text", pauses_s=())
    said = capfd.readouterr()
    assert CANARY not in f"{refused.value}{lost.value}{log.text}{said.out}{said.err}"
    assert str(lost.value)


def test_a_delivery_leaves_the_loggers_of_others_as_they_were():
    logger = logging.getLogger("urllib3.connectionpool")
    logger.setLevel(logging.INFO)
    before = (logger.level, logger.propagate, list(logger.handlers))
    with Webhook() as hook:
        send(Address("A", f"json://127.0.0.1:{hook.port}/"), "a", "b")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_addresses_come_from_the_environment_or_the_surroundings_and_have_names_that_may_be_shown(monkeypatch):
    monkeypatch.setenv("RISKPIPE_DESK", f"json://one/{CANARY} json://two/{CANARY}")
    found = addresses_of(AlertsConfig(addresses=("RISKPIPE_DESK",)))
    assert [one.name for one in found] == ["RISKPIPE_DESK", "RISKPIPE_DESK-2"]
    assert [one.url for one in found] == [f"json://one/{CANARY}", f"json://two/{CANARY}"]
    monkeypatch.delenv("RISKPIPE_NOTIFY_URL", raising=False)
    assert addresses_of(AlertsConfig()) == []
    with addressed({"RISKPIPE_NOTIFY_URL": "json://block"}):
        assert [one.url for one in addresses_of(AlertsConfig())] == ["json://block"]
        monkeypatch.setenv("RISKPIPE_NOTIFY_URL", "json://environment")
        assert [one.url for one in addresses_of(AlertsConfig())] == ["json://environment"]


def test_every_variable_that_holds_no_address_is_named_and_its_value_is_not(monkeypatch):
    monkeypatch.setenv("RISKPIPE_DESK", f"{CANARY} nonsense://{CANARY}")
    with pytest.raises(ConfigError) as refused:
        addresses_of(AlertsConfig(addresses=("RISKPIPE_DESK", "RISKPIPE_OTHER")))
    for words in ("RISKPIPE_DESK is not", "RISKPIPE_DESK-2 is not", "RISKPIPE_OTHER is not set"):
        assert words in str(refused.value)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "pieces"),
    [
        ("mailto://user:s3cret@mail.example:587?to=a@b.example", ("user", "s3cret", "mail.example", "a@b.example")),
        ("slack://tokenA/tokenB/tokenC/#channel", ("tokenA", "tokenB", "tokenC", "channel")),
        (
            "json://host.example/hook/a%2Fsecret?token=other",
            ("host.example", "hook", "a/secret", "a%2Fsecret", "other"),
        ),
    ],
)
def test_no_part_of_an_address_is_left_in_a_text(url, pieces):
    text = without_secrets(f"could not reach {url}: refused {', '.join(pieces)}", url)
    assert text.startswith("could not reach ***")
    assert not [piece for piece in pieces if piece in text]
