"""One file over HTTP, resumed where it broke off.

What has arrived lies in ``NAME.part``; ``NAME.part.json`` beside it says of which version of which file, so that a part
is only ever continued by the rest of the same file (RFC 9110, sections 13.1.5 If-Range and 14 Range requests). A
server that cannot do that is asked for the whole file again.
"""

import contextlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from segfit.errors import DataError
from segfit.folder import write_json
from segfit.units import memory

__all__ = ["Part", "Progress", "fetch"]

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""

ATTEMPTS = 6
"""So often in a row a connection may fail without bringing the download forward."""

FIRST_WAIT = 1.0
"""Seconds before the second attempt; each further wait is twice as long."""

TIMEOUT = 30.0
"""Seconds without a single byte after which a connection counts as broken."""

STEP = 2**20
"""Bytes that an attempt must add to count as bringing the download forward."""

AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may be another one a little later."""

BLOCK = 2**18


class BrokenError(Exception):
    """The connection failed in a way that another attempt may not."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """Which file a part is of: what the server said when it began.

    Attributes:
        url: as the user gave it, before redirections.
        length: bytes in all; None if the server did not say.
        etag: strong entity tag; None if there was none.
        modified: the header ``Last-Modified``; None if there was none.
    """

    url: str
    length: int | None
    etag: str | None
    modified: str | None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is asked of a download besides the file: the arguments of `fetch`."""

    size: int | None
    accept: Callable[[int, int], None]
    progress: Progress
    notice: Callable[[str], None]


class Part:
    """The unfinished file and what is known of it.

    Args:
        target: the file when it is finished.
        url: where it comes from; a part from elsewhere is not continued.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._about = target.with_name(f"{target.name}.part.json")
        self.url = url
        self.version: Version | None = None
        with contextlib.suppress(OSError, ValidationError):
            kept = TypeAdapter(Version).validate_json(self._about.read_bytes())
            self.version = kept if kept.url == url and self.path.is_file() else None

    @property
    def size(self) -> int:
        """Bytes that are there and can be continued."""
        return self.path.stat().st_size if self.version is not None else 0

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.version is not None and self.size == self.version.length

    def begin(self, version: Version) -> None:
        """Start with an empty file."""
        self.forget()
        self.path.touch()
        write_json(self._about, asdict(version))
        self.version = version

    def forget(self) -> None:
        """Delete what is there."""
        self.version = None
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def keep(self) -> None:
        """Give the complete file its own name."""
        self.path.replace(self.target)
        self._about.unlink(missing_ok=True)


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    accept: Callable[[int, int], None] = lambda _missing, _total: None,
    progress: Progress = lambda _done, _total: None,
    notice: Callable[[str], None] = lambda _text: None,
) -> Part:
    """Download a file; what an earlier call could not finish is continued.

    Args:
        url: ``http`` or ``https``; proxies are taken from the environment as usual.
        target: what the file is called when the caller keeps it, in a folder that exists.
        size: bytes that the file must have, where they are known.
        accept: called with (bytes to come, bytes in all) before anything is written, or before every block where
            nobody knows how many will come; refuses by raising.
        progress: called with (bytes done, bytes in all).
        notice: called with one line when an attempt has failed and another one follows.

    Returns:
        The complete file under its provisional name: for the caller to judge, and then to keep or to forget.

    Raises:
        DataError: the address is wrong, the server refuses, has another file, or keeps breaking off.
    """
    if not re.match(r"https?://", url):
        raise DataError(f"{url}: not an address that begins with http:// or https://")
    part, wishes = Part(target, url), Wishes(size=size, accept=accept, progress=progress, notice=notice)
    failures, reached = 0, part.size
    while not part.whole:
        try:
            _receive(part, wishes)
            break
        except BrokenError as broken:
            failures = 1 if part.size >= reached + STEP else failures + 1
            reached = max(reached, part.size)
            if failures == ATTEMPTS:
                kept = f"{memory(part.size)} are kept in {part.path}: " if part.size else ""
                raise DataError(f"{url}: {broken} ({ATTEMPTS} attempts in a row): {kept}try again later") from None
            wait = FIRST_WAIT * 2 ** (failures - 1)
            notice(f"{broken}; attempt {failures + 1} of {ATTEMPTS} in {wait:.0f} s")
            time.sleep(wait)
    return part


# --- one attempt -----------------------------------------------------------------------------------------------------


def _receive(part: Part, wishes: Wishes) -> None:
    """Append to `part` what the server sends, until nothing is missing.

    Raises:
        BrokenError: the connection ended before the file did.
    """
    answer = _ask(part)
    if answer is None:
        return
    with answer:
        total = _agree(answer, part, wishes)
        expected = wishes.size if total is None else total
        # Where the server does not say how much it sends, one byte more than expected tells that it is too much.
        end = expected + (total is None) if expected is not None else None
        done = part.size
        # Unbuffered: what has arrived is on the disk, whatever ends this process.
        with part.path.open("ab", buffering=0) as file:
            while end is None or done < end:
                block = _read(answer, BLOCK if end is None else min(BLOCK, end - done))
                if not block:
                    break
                done += len(block)
                if end is None:
                    wishes.accept(len(block), done)
                _write(file, block)
                wishes.progress(done, expected or 0)
    if expected is not None and done > expected:
        part.forget()
        raise DataError(
            f"{part.url}: the server sends more than the {expected:,} bytes of the file that is wanted: "
            "give another address with --url"
        )
    if expected is not None and done < expected:
        raise BrokenError(f"the connection ended at {done:,} of {expected:,} bytes")


def _ask(part: Part) -> http.client.HTTPResponse | None:
    """Return the server's answer to a request for what is missing of `part`; None if nothing is."""
    headers = {"User-Agent": "segfit", "Accept-Encoding": "identity"}
    if part.size and part.version is not None:
        headers["Range"] = f"bytes={part.size}-"
        validator = part.version.etag or part.version.modified
        if validator:
            headers["If-Range"] = validator
    try:
        request = urllib.request.Request(part.url, headers=headers)  # noqa: S310 (the scheme was checked)
        answer: http.client.HTTPResponse = urllib.request.build_opener(Redirection).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            failure = _failure(error, part)
        if failure is not None:
            raise failure from None
        return None
    except http.client.InvalidURL as error:
        raise DataError(f"{part.url}: not an address: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error, part.url) from None
    return answer


def _failure(error: urllib.error.HTTPError, part: Part) -> Exception | None:
    """Return what an answer that is no success means; None if it means that nothing is missing."""
    if error.code == 416:
        whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if whole and int(whole[1]) == part.size:
            return None
        part.forget()
        return BrokenError("the server's file is shorter than it said: starting again")
    status = f"{error.code} {http.client.responses.get(error.code, '')}".rstrip()
    if error.code in AGAIN:
        return BrokenError(f"the server says {status}")
    if 300 <= error.code < 400:
        return DataError(f"{part.url}: redirects in circles or to nowhere: give another address with --url")
    return DataError(f"{part.url}: the server says {status}: give another address with --url")


def _unreachable(error: Exception, url: str) -> Exception:
    """Return what a failure below HTTP means."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DataError(f"{url}: the server's certificate is not valid ({reason.verify_message}): it is not trusted")
    text = str(getattr(reason, "strerror", None) or reason or type(reason).__name__)
    return BrokenError(f"no connection: {text}")


def _agree(answer: http.client.HTTPResponse, part: Part, wishes: Wishes) -> int | None:
    """Return the size of the whole file, after making sure that what comes is the rest of `part`, or all of the file.

    Raises:
        DataError: it is not the file that was asked for.
        BrokenError: it is the rest of another file.
    """
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise DataError(f"{part.url}: the server recodes the file on its way: give another address with --url")
    if answer.headers.get_content_type() == "text/html":
        raise DataError(f"{part.url}: the server sends a web page instead of the file: look at it in a browser")
    if answer.status == 206:
        total = _rest(answer, part)
        wishes.accept(total - part.size, total)
        return total
    if answer.status != 200:
        raise DataError(f"{part.url}: the server says {answer.status}: give another address with --url")
    version = _version(answer, part.url)
    if wishes.size is not None and version.length not in (None, wishes.size):
        raise DataError(
            f"{part.url}: the server offers {version.length:,} bytes, the file that is wanted has {wishes.size:,}: "
            "give another address with --url, or the SHA-256 of another edition with --sha256"
        )
    expected = wishes.size if version.length is None else version.length
    if expected is not None:
        wishes.accept(expected, expected)
    if part.size:
        wishes.notice("the server sends the file from its beginning: it has changed, or the server cannot continue")
    part.begin(version)
    return version.length


def _rest(answer: http.client.HTTPResponse, part: Part) -> int:
    """Return the size of the whole file after making sure that what comes continues `part`."""
    there, offered = part.version, _version(answer, part.url)
    assert there is not None, "a rest is asked for only of what has begun"
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    # An answer may leave out what it does not have to repeat.
    same = all(
        old is None or new is None or old == new
        for old, new in ((there.etag, offered.etag), (there.modified, offered.modified))
    )
    if not span or not same or int(span[1]) != part.size or there.length not in (None, int(span[2])):
        part.forget()
        raise BrokenError("the file on the server has changed: starting again")
    return int(span[2])


def _version(answer: http.client.HTTPResponse, url: str) -> Version:
    headers = answer.headers
    etag, length = headers.get("ETag"), headers.get("Content-Length", "")
    return Version(
        url=url,
        length=int(length) if length.isdecimal() else None,
        # A weak tag does not promise that every byte is the same.
        etag=None if etag is None or etag.startswith("W/") else etag,
        modified=headers.get("Last-Modified"),
    )


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    """Return what has arrived, at most `most` bytes; nothing at the end."""
    try:
        # `read1` hands over what is there: `read` would lose it where the connection breaks before the block is full.
        return answer.read1(most)
    except TimeoutError:
        raise BrokenError(f"nothing came for {TIMEOUT:.0f} s") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise BrokenError(f"the connection broke off ({type(error).__name__})") from None


def _write(file: IO[bytes], block: bytes) -> None:
    """Write all of `block`."""
    view = memoryview(block)
    while view:
        try:
            view = view[file.write(view) :]
        except OSError as error:
            raise DataError(
                f"{file.name}: cannot be written: {error.strerror}: make room; the same command goes on there"
            ) from None


class Redirection(urllib.request.HTTPRedirectHandler):
    """Follows redirections to web addresses, never from HTTPS to HTTP; the base class limits their number."""

    @override
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for the new address."""
        schemes = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
            fp.close()
            raise DataError(f"{req.full_url}: redirects to {newurl}, which is not followed: give that with --url")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
