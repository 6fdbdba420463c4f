"""Stores by URI. One more backend is one more class that keeps `Store`'s promises, and one more branch here."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from riskpipe.cube.local import LocalStore
from riskpipe.cube.memory import MemoryStore
from riskpipe.cube.protocol import Store
from riskpipe.errors import StoreError

__all__ = ["LocalStore", "MemoryStore", "Store", "open_store"]


def open_store(uri: str, *, must_exist: bool = False) -> Store:
    """Open a store; nothing is created before the first write.

    Parameters
    ----------
    must_exist: refuse a folder that is not there, or a bucket's folder without an object; for readers.
    uri: a folder's path, `file://` and its absolute path, `memory://` and a name (one per process and name), or
        `s3://bucket/prefix`, with endpoint, region and credentials in the environment (see `cube.s3_client`).

    Raises
    ------
    StoreError: for any other scheme, where the path is not a folder, and where it must exist and does not.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "memory":
        return MemoryStore(f"memory://{rest.strip('/')}")
    if separator and scheme == "s3":
        return _object_store(uri, must_exist=must_exist)
    if separator and scheme == "file":
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"}:
            raise StoreError(f"store {uri}: a file:// URI names no host; write file:///absolute/path")
        path = Path(unquote(parts.path))
    elif separator:
        raise StoreError(
            f"store {uri}: scheme {scheme}:// is not built in; built in are local folders, file://, s3:// and memory://"
        )
    else:
        path = Path(uri)
    if not uri or (path.exists() and not path.is_dir()):
        raise StoreError(f"store {uri!r} is not a folder")
    if must_exist and not path.exists():
        raise StoreError(f"there is no store at {path.absolute()}: check the path, or run a night to make one")
    return LocalStore(Path(path.absolute()))


def _object_store(uri: str, *, must_exist: bool) -> Store:
    from riskpipe.cube.s3 import S3Store  # its client is a library that a night on a folder has no use for
    from riskpipe.cube.s3_client import parse_uri

    store = S3Store(parse_uri(uri))
    if must_exist and not store.children(""):
        raise StoreError(f"there is no store at {store.uri}: check bucket and prefix, or run a night to make one")
    return store
