"""A photo from the web, without opening a way into the network this program runs in.

Every connection is made in ``_connect``: it resolves the host name once, refuses the hop unless
every address is public, and opens the socket to an address it has checked, so a name that
resolves differently a moment later (DNS rebinding) gains nothing. requests and urllib3 do the
rest; the Host header, SNI and the certificate check go by the host name.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Self
from urllib.parse import unquote, urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from cracklib import config
from cracklib.errors import DownloadError
from cracklib.photo import looks_like_photo

_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; wall-crack-inspector)",
    "Accept": "image/jpeg,image/png,image/webp,image/*;q=0.8",
    "Accept-Encoding": "identity",
}
_PORTS = (80, 443, 8080, 8443)
_UNTYPED = ("", "application/octet-stream", "binary/octet-stream")
_PAGES = ("text/html", "application/xhtml+xml")
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SAVE_AND_UPLOAD = "Save the photo in your browser and give the file instead."


def download_photo(url: str) -> tuple[bytes, str]:
    """Fetch a photo; return its bytes, not decoded, and a name to show.

    The name is the last part of the URL's path, or the host. Limits: ``config.DOWNLOAD_TIMEOUT_S``
    for everything together, ``config.MAX_DOWNLOAD_BYTES``, ``config.MAX_REDIRECTS``; http and
    https, image content, public addresses on web ports. ``config.allowed_hosts()`` may be at any
    address and port. Proxy settings of the environment are not used.

    Raises ``DownloadError`` for whatever fails or is refused.
    """
    url = url.strip()
    parts = _checked_url(url)
    with _Deadline(config.DOWNLOAD_TIMEOUT_S) as deadline, _explained(deadline):
        return _fetch(url, deadline), _display_name(parts)


def _fetch(url: str, deadline: _Deadline) -> bytes:
    with closing(_CheckedAdapter(deadline)) as adapter:
        for _ in range(config.MAX_REDIRECTS + 1):
            request = requests.Request("GET", url, headers=_HEADERS).prepare()
            # The adapter alone: a Session would read a redirect's body whole, and follow netrc.
            with adapter.send(request, stream=True, timeout=deadline.left_s()) as response:
                if not response.is_redirect:
                    return _photo_bytes(response, deadline)
                url = _redirect_target(url, response.headers["Location"])
                _checked_url(url)
    raise DownloadError(
        f"The link redirects more than {config.MAX_REDIRECTS} times. "
        f"Open it and copy the address of the image itself."
    )


def _photo_bytes(response: requests.Response, deadline: _Deadline) -> bytes:
    _check_status(response.status_code)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in _PAGES:
        raise DownloadError(
            "The link is a page, not a photo: open it and copy the address of the image itself."
        )
    if not kind.startswith("image/") and kind not in _UNTYPED:
        raise DownloadError(f"The link gives '{kind[:50]}', not an image. Give a photo's address.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DownloadError(f"The site sent the photo compressed, unasked. {_SAVE_AND_UPLOAD}")
    _check_bytes(response.raw.length_remaining or 0)
    body = bytearray()
    for chunk in response.raw.stream(65536, decode_content=False):
        body += chunk
        _check_bytes(len(body))
    # A body of unstated length that was cut at the deadline looks like one that ended.
    deadline.check()
    if not body:
        raise DownloadError("The site sent an empty file. Check the link in your browser.")
    data = bytes(body)
    if kind in _UNTYPED and not looks_like_photo(data):
        raise DownloadError("The link gives a file that is not an image. Give a photo's address.")
    return data


def _checked_url(url: str) -> Url:
    try:
        parts = parse_url(url)
    except LocationParseError as error:
        raise DownloadError("This is not a valid link. Copy the photo's address again.") from error
    if parts.scheme not in ("http", "https"):
        came = f"'{parts.scheme[:20]}:'" if parts.scheme else "neither"
        raise DownloadError(
            f"Only links that begin with http:// or https:// are opened; this one has {came}."
        )
    if not parts.host:
        raise DownloadError("The link names no site. Copy the photo's address again.")
    if parts.auth is not None:
        raise DownloadError(
            "Links that carry a user name or password are not opened. Remove what is before the @."
        )
    return parts


def _redirect_target(url: str, location: str) -> str:
    try:
        # HTTP headers reach us as Latin-1; sites that don't quote their links send UTF-8.
        return urljoin(url, location.encode("latin-1").decode("utf-8", "replace"))
    except ValueError as error:
        raise DownloadError("The link redirects to something that is not a link.") from error


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status in (404, 410):
        advice = "There is no photo at this link. Check it in your browser."
    elif status in (401, 403):
        advice = f"The site keeps this photo from other programs. {_SAVE_AND_UPLOAD}"
    elif status == 429:
        advice = "The site has had too many requests. Wait a minute and try again."
    elif status >= 500:
        advice = "The site has a fault of its own. Try again later."
    else:
        advice = f"The site gave no photo. {_SAVE_AND_UPLOAD}"
    raise DownloadError(f"{advice} (HTTP status {status})")


def _check_bytes(n_bytes: int) -> None:
    if n_bytes > config.MAX_DOWNLOAD_BYTES:
        raise DownloadError(
            f"The photo has more than {config.MAX_DOWNLOAD_BYTES / 2**20:.0f} MB. "
            f"Give a smaller copy."
        )


def _display_name(parts: Url) -> str:
    last = unquote((parts.path or "").rpartition("/")[2])
    return re.sub(r"[^\w.()+ -]", "_", last)[-80:].strip(" ._-") or str(parts.host)


@contextmanager
def _explained(deadline: _Deadline) -> Iterator[None]:
    """Turn what requests, urllib3 and sockets raise into ``DownloadError``."""
    try:
        yield
    except (requests.RequestException, HTTPError, OSError) as error:
        deadline.check()
        if isinstance(error, requests.exceptions.SSLError):
            reason = f"No secure connection: the site's certificate was refused. {_SAVE_AND_UPLOAD}"
        elif isinstance(error, requests.exceptions.InvalidURL):
            reason = "This is not a valid link. Copy the photo's address again."
        else:
            reason = "The connection broke off before the photo was complete. Try again."
        raise DownloadError(reason) from error


class _Deadline:
    """One time limit over names, connections, headers and body.

    A socket's own timeout starts anew with every byte, so a slow drip would outlast it. Here a
    timer shuts the watched connections down, which ends any read, TLS handshakes included.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        for sock in self._sockets:
            sock.close()

    def left_s(self) -> float:
        """Seconds left; never 0, which a socket takes as "don't wait"."""
        return max(self._end - time.monotonic(), 0.001)

    def check(self) -> None:
        if time.monotonic() >= self._end:
            raise DownloadError(
                f"The photo did not arrive within {self._timeout_s:g} s. Try again, or save it "
                f"in your browser and give the file instead."
            )

    def watch(self, sock: socket.socket) -> None:
        # A duplicate, because wrapping the socket in TLS takes the original away.
        self._sockets.append(sock.dup())
        self.check()

    def _cut(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _CheckedConnection(HTTPConnection):
    """An HTTP connection to a checked address. ``_new_conn`` is where urllib3 opens its socket."""

    def __init__(self, *args: Any, deadline: _Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline

    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port, self._deadline)


class _CheckedTLSConnection(_CheckedConnection, HTTPSConnection):
    pass


class _CheckedAdapter(HTTPAdapter):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        connection = _CheckedTLSConnection if pool.scheme == "https" else _CheckedConnection
        pool.ConnectionCls = partial(connection, deadline=self._deadline)
        return pool


def _connect(host: str, port: int, deadline: _Deadline) -> socket.socket:
    addresses = _resolve(host, port, deadline)
    if host.lower() not in config.allowed_hosts():
        _check_public([str(address[0]) for *_, address in addresses], port)
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            # An even share each, so that one dead address leaves time for the next.
            sock.settimeout(deadline.left_s() / (len(addresses) - tried))
            sock.connect(address)
            deadline.watch(sock)
        except OSError:
            sock.close()
        except DownloadError:
            sock.close()
            raise
        else:
            return sock
    deadline.check()
    raise DownloadError("The site does not accept connections. Check the link, or try again later.")


def _resolve(host: str, port: int, deadline: _Deadline) -> list[Any]:
    # In a thread, because getaddrinfo takes no timeout.
    resolver = ThreadPoolExecutor(1)
    lookup = resolver.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    resolver.shutdown(wait=False)
    try:
        return lookup.result(deadline.left_s())
    except (socket.gaierror, UnicodeError) as error:
        raise DownloadError(
            "No site of this name was found. Check the link, and that you are online."
        ) from error


def _check_public(addresses: list[str], port: int) -> None:
    own = "If the server is your own, name its host in CRACKLIB_ALLOWED_HOSTS."
    if not all(map(_is_public, addresses)):
        raise DownloadError(
            f"The link leads to an address that is not public, and only public ones are opened. "
            f"{own}"
        )
    if port not in _PORTS:
        raise DownloadError(
            f"The link leads to a port that is not the web's; "
            f"{', '.join(map(str, _PORTS))} are opened. {own}"
        )


def _is_public(address: str) -> bool:
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:
            ip = IPv4Address(int(ip) & 0xFFFF_FFFF)
        elif ip not in _GLOBAL_UNICAST or ip.sixtofour:
            return False  # 6to4 is a tunnel, whose far end can be any IPv4 address
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
