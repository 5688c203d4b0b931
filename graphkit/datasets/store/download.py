"""Fetches a missing data set through PyG, without waiting for a network that is not there."""

# fingerprint: not counted

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import socket
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EPERM
from pathlib import Path
from typing import Any

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.errors import cache_error, disk_error
from graphkit.datasets.store.folders import cache_root, using_cache

__all__ = ["DownloadError", "download"]

PROBE_SECONDS = 5.0
READ_SECONDS = 30.0


class DownloadError(OSError):
    """A data set could not be fetched; the message says why."""


def fetch_errors() -> tuple[type[Exception], ...]:
    """What may go wrong on the way; the client that PyG downloads with is loaded only then."""
    from aiohttp import ClientError

    names = OSError, ValueError, RuntimeError, asyncio.TimeoutError, zipfile.BadZipFile
    return *names, ClientError


def offline() -> bool:
    """Whether ``GRAPHKIT_OFFLINE`` forbids downloads."""
    return os.environ.get("GRAPHKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def probe(address: str) -> None:
    """Raises :class:`DownloadError` unless the address answers within a few seconds.

    The look-up of a host name has no time-out of its own, hence the thread.
    """
    answer: list[str] = []

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as reply:
                answer.append("" if reply.status < 400 else f"status {reply.status}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    reason = answer[0] if answer else f"no answer within {PROBE_SECONDS:.0f} s"
    if reason:
        raise DownloadError(f"{address}: {reason}")


@contextmanager
def bounded_reads() -> Iterator[None]:
    """Sockets opened inside give up after :obj:`READ_SECONDS` of silence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(READ_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class FetchedError(Exception):
    """Ends the construction of a dataset as soon as its raw files are there."""


def fetcher(cls: type) -> type:
    """A dataset class that downloads and does not read what came: that needs a check first."""

    def process(_: Any) -> None:
        raise FetchedError

    return type(cls.__name__, (cls,), {"process": process})


def download(card: DatasetCard) -> Path:
    r"""Fetches the raw files of a data set into the cache.

    The files appear in the cache all at once, when they are complete.

    Args:
        card (DatasetCard): The data set.

    Returns:
        The folder of the files.

    Raises:
        DownloadError: If downloads are off, the network is out of reach, or what came is not
            the data set.
        CacheError: If the cache folder cannot be written to.
    """
    if offline():
        raise DownloadError("GRAPHKIT_OFFLINE is set")
    if card.probe is None:
        raise DownloadError("there is no address to fetch it from")
    probe(card.probe)
    target = cache_root() / "data" / card.folder
    with using_cache():
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(card, target)
    return target


def fetch(card: DatasetCard, target: Path) -> None:
    """Downloads aside, and publishes what is complete."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        fetched = Path(temporary) / "fetched"
        try:
            with bounded_reads(), suppress(FetchedError):
                fetcher(card.resolve())(
                    root=temporary,
                    raw_folder=fetched / card.raw,
                    processed_folder=Path(temporary) / "processed",
                    **card.arguments,
                )
        except fetch_errors() as error:
            full = disk_error(error)
            # A firewall, too, does not permit: only a file's name makes it the cache's fault.
            if full is not None and (full.filename or full.errno not in (EACCES, EPERM)):
                raise cache_error(cache_root(), full) from error
            reason = f"{type(error).__name__}: {error}"
            raise DownloadError(f"{card.probe}: {reason}") from error
        lacking = [name for name in card.files if not (fetched / name).is_file()]
        if lacking:
            raise DownloadError(f"{card.probe}: {', '.join(lacking)} did not come with it")
        publish(fetched, target)


def publish(fetched: Path, target: Path) -> None:
    """Moves complete files to where they belong; what another process put there stays."""
    try:
        os.rename(fetched, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.copytree(fetched, target, dirs_exist_ok=True, copy_function=keep_existing)


def keep_existing(source: str, destination: str) -> str:
    """Moves one file unless it is already there."""
    if not os.path.exists(destination):
        os.replace(source, destination)
    return destination
