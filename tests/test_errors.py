"""Errors: none carries the secret of a location to a terminal, a log or another process."""

import pickle

import pytest

from riskpipe.errors import ConfigError, InputRefused, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read s3://key:secret@bucket/a", "cannot read s3://***@bucket/a"),
        ("got 'https://user:p@ss@host:80/x', expected", "got 'https://***@host:80/x', expected"),
        ("s3://AKIA:ab/cd+ef@bucket/x and s3://k:s@b", "s3://***@bucket/x and s3://***@b"),
        ("ftp://:secret@host", "ftp://***@host"),
        ("https://token@host/x", "https://***@host/x"),
        ("tcp://127.0.0.1:8786 answers not", "tcp://127.0.0.1:8786 answers not"),
        ("https://host:443/package@1.0", "https://host:443/package@1.0"),
        ("s3://bucket/a@b.parquet, mail@example.org", "s3://bucket/a@b.parquet, mail@example.org"),
    ],
)
def test_user_and_secret_of_a_location_are_masked_and_nothing_else_is(text, shown):
    assert masked(text) == shown


def test_an_error_holds_no_secret_whichever_way_it_is_looked_at():
    refused = InputRefused("snapshot s3://key:hidden@b", ["s3://key:hidden@b/accounts.parquet is missing"])
    for error in (ConfigError("store s3://key:hidden@b: scheme s3:// is not built in"), refused):
        for one in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301  our own bytes
            assert "hidden" not in str(one) + repr(one) + repr(vars(one))
            assert "***@b" in str(one)
