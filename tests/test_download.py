import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import requests.adapters
from hypothesis import given
from hypothesis import strategies as st

from cracklib import config, download
from cracklib.download import download_photo
from cracklib.errors import DownloadError
from cracklib.photo import encode_png

PHOTO = encode_png(np.arange(40 * 40 * 3, dtype=np.uint32).reshape(40, 40, 3).astype(np.uint8))

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site(ThreadingHTTPServer):
    """A web server on this machine; ``answers`` maps a path to what writes the response."""

    daemon_threads = True

    def __init__(self) -> None:
        site = self
        self.answers: dict[str, Answer] = {}
        self.requests: list[BaseHTTPRequestHandler] = []
        self.stopping = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self)
                site.answers[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str, host: str = "localhost", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def handle_error(self, *_: object) -> None:
        pass  # clients that hang up are what some tests are about


@contextmanager
def serving() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            site.stopping.set()
            site.shutdown()
            thread.join()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that may be reached as localhost."""
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "localhost")
    with serving() as site:
        yield site


def answer(body: bytes = PHOTO, status: int = 200, **headers: str | None) -> Answer:
    """Headers are named with underscores; None leaves one out."""
    given_headers = {"Content_Type": "image/png", "Content_Length": str(len(body))} | headers

    def write(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in given_headers.items():
            if value is not None:
                request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return write


def redirect(to: str, status: int = 302) -> Answer:
    return answer(b"", status, Location=to)


def resolve_as(monkeypatch: pytest.MonkeyPatch, *answers: list[str], port: int = 80) -> list[str]:
    """Make host names resolve to each list of addresses in turn; returns the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (kind, socket.SOCK_STREAM, 6, "", (address, port))
            for kind, address in zip(kinds, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


# What is fetched


def test_a_photo_comes_with_its_name(site):
    site.answers["/walls/north%20side.png?size=full"] = answer()
    data, name = download_photo(f"  {site.url('/walls/north%20side.png?size=full')} ")
    assert data == PHOTO
    assert name == "north side.png"
    headers = site.requests[0].headers
    assert headers["Host"] == f"localhost:{site.port}"
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "localhost"),
        ("/a/", "localhost"),
        ("/..%2F..%2Fetc%2Fpasswd", "etc_passwd"),
        ("/%3Cb%3E%0Ax.png", "b__x.png"),
        ("/%E2%80%AEgnp.exe", "gnp.exe"),
        ("/mur%20fissur%C3%A9.jpg", "mur fissuré.jpg"),
        ("/" + "a" * 200 + ".png", "a" * 76 + ".png"),
    ],
)
def test_names_are_fit_to_show(site, path, name):
    site.answers[path] = answer()
    assert download_photo(site.url(path))[1] == name


@pytest.mark.parametrize("kind", ["application/octet-stream", "binary/octet-stream", None])
def test_untyped_photos_are_known_by_their_first_bytes(site, kind):
    site.answers["/photo"] = answer(Content_Type=kind)
    assert download_photo(site.url("/photo"))[0] == PHOTO
    site.answers["/other"] = answer(b"MZ\x90\0 not a photo", Content_Type=kind)
    with pytest.raises(DownloadError, match="not an image"):
        download_photo(site.url("/other"))


def test_chunked_bodies_are_joined(site):
    def write(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        answer(b"", Content_Length=None, Transfer_Encoding="chunked")(request)
        for start in range(0, len(PHOTO), 1000):
            chunk = PHOTO[start : start + 1000]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        request.wfile.write(b"0\r\n\r\n")
        request.close_connection = True

    site.answers["/"] = write
    assert download_photo(site.url("/"))[0] == PHOTO


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(site, status):
    site.answers["/photo.png"] = answer()
    site.answers["/old.png"] = redirect("photo.png", status)
    assert download_photo(site.url("/old.png")) == (PHOTO, "old.png")


def test_three_redirects_are_followed_and_not_four(site):
    site.answers["/0"] = answer()
    for hop in range(1, 5):
        site.answers[f"/{hop}"] = redirect(f"/{hop - 1}")
    assert download_photo(site.url("/3"))[0] == PHOTO
    site.requests.clear()
    with pytest.raises(DownloadError, match="more than 3 times"):
        download_photo(site.url("/4"))
    assert [request.path for request in site.requests] == ["/4", "/3", "/2", "/1"]


def test_the_environment_s_proxies_and_credentials_are_not_used(site, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine localhost login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.answers["/"] = answer()
    assert download_photo(site.url("/"))[0] == PHOTO
    assert "Authorization" not in site.requests[0].headers


# What is refused


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "this one has neither"),
        ("example.com/wall.jpg", "this one has neither"),
        ("ftp://example.com/wall.jpg", "'ftp:'"),
        ("file:///etc/passwd", "'file:'"),
        ("data:image/png;base64,iVBORw0KGgo=", "'data:'"),
        ("javascript:alert(1)", "'javascript:'"),
        ("http://", "names no site"),
        ("http:///wall.jpg", "names no site"),
        ("http://[::1", "not a valid link"),
        ("http://example.com:port/", "not a valid link"),
        ("http://*.example.com/", "not a valid link"),
        ("http://user:secret@example.com/wall.jpg", "user name or password"),
        ("http://example.com@127.0.0.1/wall.jpg", "user name or password"),
    ],
)
def test_links_that_are_not_to_be_opened(url, why, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("was resolved"))
    with pytest.raises(DownloadError, match=why) as refusal:
        download_photo(url)
    assert "secret" not in str(refusal.value)


PRIVATE_HOSTS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "①②⑦.⓪.⓪.①",
    "0.0.0.0",  # noqa: S104 - refused, not bound
    "0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::10.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:808:808::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:db8::1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_addresses_that_are_not_public_are_refused(host):
    with serving() as site:
        with pytest.raises(DownloadError, match=r"not public|not a valid link") as refusal:
            download_photo(site.url("/", host))
        assert not site.requests
        assert "127.0.0.1" not in str(refusal.value)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)
def test_public_addresses_pass(address):
    download._check_public([address], 443)


def test_a_name_with_one_address_that_is_not_public_is_refused(monkeypatch):
    resolve_as(monkeypatch, ["8.8.8.8", "10.0.0.7"])
    with pytest.raises(DownloadError, match="not public") as refusal:
        download_photo("http://photos.test/wall.png")
    assert "10.0.0.7" not in str(refusal.value)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1/x.png", "//127.0.0.1/x.png", "http://[::ffff:127.0.0.1]/x.png"]
)
def test_a_redirect_to_an_address_that_is_not_public_is_refused(site, target):
    site.answers["/"] = redirect(target)
    with pytest.raises(DownloadError, match="not public"):
        download_photo(site.url("/"))
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("file:///etc/passwd", "'file:'"),
        ("ftp://localhost/x.png", "'ftp:'"),
        ("http://user:pw@localhost/x.png", "user name or password"),
        ("http://[::1", "not a link"),
    ],
)
def test_a_redirect_to_what_is_not_opened_is_refused(site, target, why):
    site.answers["/"] = redirect(target)
    with pytest.raises(DownloadError, match=why):
        download_photo(site.url("/"))


def test_only_web_ports_of_public_addresses_are_opened(monkeypatch):
    resolve_as(monkeypatch, ["8.8.8.8"])
    for port in (22, 25, 6379, 9200):
        with pytest.raises(DownloadError, match="port that is not the web's"):
            download_photo(f"http://photos.test:{port}/wall.png")


@pytest.mark.parametrize("allowed", ["127.0.0.1", "localhost, 127.0.0.1", "photos.test,127.0.0.1"])
def test_allowed_hosts_are_exempt(monkeypatch, allowed):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", allowed)
    with serving() as site:
        site.answers["/"] = answer()
        assert download_photo(site.url("/", "127.0.0.1"))[0] == PHOTO


def test_allowing_a_name_does_not_allow_its_address(site):
    with pytest.raises(DownloadError, match="not public"):
        download_photo(site.url("/", "127.0.0.1"))


# The checked address is the one connected to


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "photos.test")
    with serving() as site, serving() as decoy:
        site.answers["/"] = decoy.answers["/"] = answer()
        # Loopback is 127.0.0.0/8; were the name looked up again, this would be the answer.
        asked = resolve_as(monkeypatch, ["127.0.0.1"], ["127.0.0.2"], port=site.port)
        assert download_photo(f"http://photos.test:{decoy.port}/")[0] == PHOTO
    assert asked == ["photos.test"]
    assert len(site.requests) == 1
    assert not decoy.requests
    assert site.requests[0].headers["Host"] == f"photos.test:{decoy.port}"


def test_every_hop_is_checked_anew(monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "photos.test")
    with serving() as site:
        site.answers["/"] = redirect("http://rebound.test/secret")
        asked = resolve_as(monkeypatch, ["127.0.0.1"], port=site.port)
        with pytest.raises(DownloadError, match="not public"):
            download_photo(site.url("/", "photos.test"))
        assert len(site.requests) == 1
    assert asked == ["photos.test", "rebound.test"]


def test_the_next_address_is_tried_where_one_is_dead(monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "photos.test")
    with serving() as site:
        site.answers["/"] = answer()
        # Nothing listens on the second loopback address.
        resolve_as(monkeypatch, ["127.0.0.2", "127.0.0.1"], port=site.port)
        assert download_photo(site.url("/", "photos.test"))[0] == PHOTO


def test_addresses_share_the_time_there_is(monkeypatch):
    waits: list[float | None] = []

    class Silent(socket.socket):
        """A packet filter that drops everything can't be had in a test."""

        def connect(self, address: object) -> None:
            waits.append(self.gettimeout())
            raise TimeoutError

    resolve_as(monkeypatch, ["8.8.8.8", "1.1.1.1"])
    monkeypatch.setattr(socket, "socket", Silent)
    with pytest.raises(DownloadError, match="does not accept connections"):
        download_photo("http://photos.test/")
    assert waits == pytest.approx([config.DOWNLOAD_TIMEOUT_S / 2, config.DOWNLOAD_TIMEOUT_S], 0.1)


# What goes wrong on the way


def test_a_page_is_not_a_photo(site):
    site.answers["/"] = answer(b"<html>", Content_Type="text/html; charset=utf-8")
    with pytest.raises(DownloadError, match="copy the address of the image itself"):
        download_photo(site.url("/"))


def test_other_content_is_named(site):
    site.answers["/"] = answer(b"%PDF", Content_Type="application/pdf")
    with pytest.raises(DownloadError, match="'application/pdf', not an image"):
        download_photo(site.url("/"))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (404, "no photo at this link"),
        (410, "no photo at this link"),
        (403, "Save the photo in your browser"),
        (401, "Save the photo in your browser"),
        (429, "Wait a minute"),
        (500, "Try again later"),
        (503, "Try again later"),
        (206, "gave no photo"),
    ],
)
def test_error_statuses_say_what_to_do(site, status, advice):
    site.answers["/"] = answer(status=status)
    with pytest.raises(DownloadError, match=rf"{advice}.*\(HTTP status {status}\)"):
        download_photo(site.url("/"))


def test_an_empty_body_is_refused(site):
    site.answers["/"] = answer(b"")
    with pytest.raises(DownloadError, match="empty file"):
        download_photo(site.url("/"))


def test_a_compressed_body_is_refused(site):
    site.answers["/"] = answer(Content_Encoding="gzip")
    with pytest.raises(DownloadError, match="compressed"):
        download_photo(site.url("/"))


def test_too_many_bytes_are_refused_by_the_header(site):
    # No byte of the body is ever sent: the header alone decides.
    site.answers["/"] = answer(b"", Content_Length=str(config.MAX_DOWNLOAD_BYTES + 1))
    with pytest.raises(DownloadError, match="more than 20 MB"):
        download_photo(site.url("/"))


def test_too_many_bytes_are_refused_while_they_come(site, monkeypatch):
    monkeypatch.setattr(config, "MAX_DOWNLOAD_BYTES", 200_000)
    hung_up = threading.Event()

    def write(request: BaseHTTPRequestHandler) -> None:
        answer(b"", Content_Length=None)(request)
        try:
            while not site.stopping.is_set():
                request.wfile.write(bytes(65536))
        except OSError:
            hung_up.set()

    site.answers["/"] = write
    with pytest.raises(DownloadError, match="Give a smaller copy"):
        download_photo(site.url("/"))
    assert hung_up.wait(5)


def test_the_most_bytes_are_accepted(site, monkeypatch):
    monkeypatch.setattr(config, "MAX_DOWNLOAD_BYTES", len(PHOTO))
    site.answers["/"] = answer()
    assert download_photo(site.url("/"))[0] == PHOTO


def test_a_body_shorter_than_promised_is_refused(site):
    site.answers["/"] = answer(PHOTO[:-10], Content_Length=str(len(PHOTO)))
    with pytest.raises(DownloadError, match="broke off"):
        download_photo(site.url("/"))


def drip(site: Site, line: bytes, hung_up: threading.Event) -> Answer:
    """Write a line over and over, each time well before a socket would time out."""

    def write(request: BaseHTTPRequestHandler) -> None:
        try:
            if line == BODY:
                answer(b"", Content_Length=None)(request)
            else:
                request.wfile.write(b"HTTP/1.0 200 OK\r\n")
            for _ in range(90):  # http.client itself hangs up at 100 headers
                request.wfile.write(line)
                site.stopping.wait(0.02)
        except OSError:
            hung_up.set()

    return write


BODY, HEADER, ENDLESS_HEADER = b"\0", b"X-Slow: drip\r\n", b"X"


@pytest.mark.parametrize("line", [BODY, HEADER, ENDLESS_HEADER])
def test_a_slow_drip_is_cut_at_the_deadline(site, monkeypatch, line):
    monkeypatch.setattr(config, "DOWNLOAD_TIMEOUT_S", 0.2)
    hung_up = threading.Event()
    site.answers["/"] = drip(site, line, hung_up)
    with pytest.raises(DownloadError, match=r"did not arrive within 0\.2 s"):
        download_photo(site.url("/"))
    assert hung_up.wait(5)


def test_redirects_share_one_deadline(site, monkeypatch):
    monkeypatch.setattr(config, "DOWNLOAD_TIMEOUT_S", 0.3)

    def write(request: BaseHTTPRequestHandler) -> None:
        site.stopping.wait(0.12)
        redirect("/" + "x" * len(site.requests))(request)

    site.answers = {"/" + "x" * hop: write for hop in range(9)}
    with pytest.raises(DownloadError, match="did not arrive within"):
        download_photo(site.url("/"))


def test_a_slow_name_server_ends_at_the_deadline(monkeypatch):
    monkeypatch.setattr(config, "DOWNLOAD_TIMEOUT_S", 0.05)
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(10))
    try:
        with pytest.raises(DownloadError, match="did not arrive within"):
            download_photo("http://photos.test/")
    finally:
        answered.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_says_nothing_ends_at_the_deadline(monkeypatch, scheme):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "localhost")
    monkeypatch.setattr(config, "DOWNLOAD_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://localhost:{mute.getsockname()[1]}/"
        with pytest.raises(DownloadError, match="did not arrive within"):
            download_photo(url)


def test_a_refused_connection_is_told(monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "localhost")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadError, match="does not accept connections"):
            download_photo(f"http://localhost:{deaf.getsockname()[1]}/")


def test_an_unknown_name_is_told(monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="No site of this name"):
        download_photo("http://no-such-site.test/")


def test_a_server_that_does_not_speak_http_is_told(site):
    site.answers["/"] = lambda request: request.wfile.write(b"220 mail ready\r\n")
    with pytest.raises(DownloadError, match="broke off"):
        download_photo(site.url("/"))


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://a.test/", "//"]))
def test_any_text_is_refused_in_words(text, start):
    with pytest.MonkeyPatch.context() as patch:
        resolve_as(patch, ["127.0.0.1"])
        with pytest.raises(DownloadError):
            download_photo(start + text)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for photos.test, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=photos.test -addext subjectAltName=DNS:photos.test "
        "-keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls_site(certificate, monkeypatch):
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "photos.test,other.test")
    with serving() as site:
        site.socket = context.wrap_socket(site.socket, server_side=True)
        site.answers["/"] = answer()
        resolve_as(monkeypatch, ["127.0.0.1"], port=site.port)
        yield site, names


def trust(monkeypatch, path):
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(path))


def test_tls_goes_by_the_host_name_at_the_checked_address(tls_site, certificate, monkeypatch):
    site, names = tls_site
    trust(monkeypatch, certificate[0])
    assert download_photo(site.url("/", "photos.test", "https"))[0] == PHOTO
    assert names == ["photos.test"]
    assert site.requests[0].headers["Host"] == f"photos.test:{site.port}"


def test_a_slow_drip_over_tls_is_cut_at_the_deadline(tls_site, certificate, monkeypatch):
    site, _ = tls_site
    trust(monkeypatch, certificate[0])
    monkeypatch.setattr(config, "DOWNLOAD_TIMEOUT_S", 0.3)
    hung_up = threading.Event()
    site.answers["/"] = drip(site, HEADER, hung_up)
    with pytest.raises(DownloadError, match=r"did not arrive within 0\.3 s"):
        download_photo(site.url("/", "photos.test", "https"))
    assert hung_up.wait(5)


def test_a_certificate_for_another_name_is_refused(tls_site, certificate, monkeypatch):
    site, _ = tls_site
    trust(monkeypatch, certificate[0])
    with pytest.raises(DownloadError, match="certificate was refused"):
        download_photo(site.url("/", "other.test", "https"))
    assert not site.requests


def test_a_certificate_nobody_vouches_for_is_refused(tls_site):
    site, _ = tls_site
    with pytest.raises(DownloadError, match="certificate was refused"):
        download_photo(site.url("/", "photos.test", "https"))
    assert not site.requests
