"""How an object store is reached: its location from a URI, all else from the environment, and its errors in words."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as Client

from riskpipe.cube.protocol import check_key
from riskpipe.errors import StoreError, StoreLost

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_RETRIES = 10
_TIMEOUT_S = "RISKPIPE_S3_TIMEOUT_SECONDS"
_RETRY_S = "RISKPIPE_S3_RETRY_SECONDS"
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_RESUMES = "then run the same command again: it goes on where this one stopped"


@dataclass(frozen=True)
class Place:
    """A bucket and the folder in it below which a store's objects lie ("" = the whole bucket)."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """Location without anything secret."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_uri(uri: str) -> Place:
    """Read `s3://bucket/prefix`; StoreError when it is anything else, or holds credentials."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if "@" in uri or ":" in bucket:  # a secret may hold slashes, so what is left of them is not shown either
        raise StoreError(
            "an s3:// store was given with credentials in its URI: leave them out, and set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment; write s3://bucket/prefix"
        )
    if not _BUCKET.fullmatch(bucket):
        raise StoreError(f"store {uri}: {bucket!r} is not the name of a bucket; write s3://bucket/prefix")
    if "?" in prefix or "#" in prefix:
        raise StoreError(f"store {uri}: a prefix holds no ? and no #; endpoint and region come from the environment")
    return Place(bucket, check_key(prefix.strip("/"), is_prefix=True))


@dataclass(frozen=True)
class Surroundings:
    """What the environment says about object stores.

    Read: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, AWS_CA_BUNDLE, and by obstore itself AWS_REGION or
    AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, roles of containers and machines.
    """

    endpoint: str | None
    allows_http: bool
    ca_bundle: str | None
    timeout_s: float
    retry_s: float
    everything: tuple[tuple[str, str], ...] = field(repr=False)
    """All of AWS_*, because a client that is kept must not outlive the credentials it was made with."""


def surroundings(environment: Mapping[str, str] = os.environ) -> Surroundings:
    """Read the environment; StoreError for plain http to anything but this machine, and for times that are none."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or None
    allows_http = environment.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true", "yes"}
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise StoreError("AWS_ENDPOINT_URL must be http:// or https://, a host and a port, without credentials")
        is_here = _is_loopback(parts.hostname)
        if parts.scheme == "http" and not (allows_http or is_here):
            raise StoreError(
                f"AWS_ENDPOINT_URL is {endpoint}: books and credentials would cross the network unencrypted. Use "
                "https://, or set AWS_ALLOW_HTTP=true where the network is trusted"
            )
        allows_http = allows_http or is_here
    return Surroundings(
        endpoint=endpoint,
        allows_http=allows_http,
        ca_bundle=environment.get("AWS_CA_BUNDLE") or None,
        timeout_s=_seconds(environment, _TIMEOUT_S, 60.0),
        retry_s=_seconds(environment, _RETRY_S, 120.0),
        everything=tuple(sorted((name, value) for name, value in environment.items() if name.startswith("AWS_"))),
    )


def client_of(place: Place) -> Client:
    """Return the client of a store, made once per process and environment."""
    return _client(place, surroundings())


@lru_cache(maxsize=8)
def _client(place: Place, found: Surroundings) -> Client:
    options: dict[str, Any] = {
        "timeout": timedelta(seconds=found.timeout_s),
        "connect_timeout": timedelta(seconds=min(5.0, found.timeout_s)),
        "allow_http": found.allows_http,
    }
    if found.ca_bundle is not None:
        try:
            options["root_certificate"] = Path(found.ca_bundle).read_bytes()
        except OSError as error:
            raise StoreError(
                f"AWS_CA_BUNDLE names {found.ca_bundle}, which cannot be read: {error.strerror}"
            ) from error
    try:
        return Client(
            place.bucket,
            prefix=place.prefix or None,
            client_options=options,  # type: ignore[arg-type] # its stub takes keywords one by one
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=found.retry_s)},
            config={} if found.endpoint is None else {"endpoint": found.endpoint},
        )
    except Exception as error:
        raise StoreError(f"{place.uri} cannot be opened: {told(error)}. Check the variables AWS_*") from error


def explained(place: Place, key: str, error: Exception) -> StoreError:
    """Make the error for an object whose request failed after the last retry: what, where, what to do; no secrets.

    StoreLost, unless the same would fail again: a bucket, credentials or rights are missing.
    """
    text, kind = told(error), StoreError
    if "NoSuchBucket" in text:
        remedy = f"make the bucket {place.bucket}, or check its name and AWS_ENDPOINT_URL"
    elif "169.254.169.254" in text:
        remedy = (
            "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        )
    elif isinstance(error, PermissionDeniedError | UnauthenticatedError) or "403 Forbidden" in text:
        remedy = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do in this bucket"
    else:
        kind, remedy = StoreLost, f"check the object store and the network, {_RESUMES}"
    return kind(f"{place.uri}: object {key or '(the whole store)'} could not be reached: {text}; {remedy}")


def told(error: Exception) -> str:
    """Say in a line what the object store answered, without its debug output and without any credential."""
    text = str(error)
    message = text.split("\n\nDebug source", 1)[0]
    code = re.search(r"<Code>([^<]*)</Code>", message)
    said = re.search(r"<Message>([^<]*)</Message>", message)
    line = re.sub(r"\s+", " ", re.split(r"<\?xml|<Error>|<html|<!doctype", message, maxsplit=1)[0]).strip(" :")
    if code is not None:
        line += f": {code[1]}" + (f" ({said[1]})" if said is not None else "")
    for name in _SECRETS:
        secret = os.environ.get(name)
        if secret:
            line = line.replace(secret, "***")
    return line[:600]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 < seconds <= 3600.0:
        raise StoreError(f"{name} is {text!r}: expected seconds above 0 and at most 3600")
    return seconds
