"""The way to the broker: its address, the proxy on the way, and TLS, set up in one place.

A proxy is asked for a tunnel (CONNECT, RFC 9110 section 9.3.6): it sees the broker's name and nothing that is said to
it, since TLS begins behind it. Where the profile names none, that of the system counts (`HTTPS_PROXY` and `NO_PROXY`,
or the settings of Windows and macOS). What is not encrypted, a broker on this machine, never goes through one.

The promise: nothing is sent to a broker that did not prove its name under TLS 1.3; each way in which that fails has
words of its own.

Before this room: `transport`, `probe`. After it: aiohttp. Rules: clients/OPERATING.md.
"""

import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from valija import config as configs
from valija.errors import ConfigError, UnavailableError

connect_timeout_s: Final = 10.0  #: TCP, to the broker or the proxy; whoever takes longer is not there.

_EXPIRED: Final = 10  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED
_NOT_YET: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_WRONG_NAME: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH

OnTls = Callable[[ssl.SSLObject], None]
"""Told of each handshake that succeeded; the last one is the broker's."""


def check_url(url: str) -> URL:
    """The broker's base URL: https, or http on this machine alone.

    Raises:
        ConfigError: anything else.
    """
    parsed = _parse(url, "a broker")
    if parsed.scheme == "http" and not _is_loopback(parsed.host or ""):
        raise ConfigError(
            f"{url!r} is not encrypted", hint="Use https://; http:// is for a broker on this machine alone."
        )
    if parsed.user:
        raise ConfigError(f"{url!r} has more than a scheme, a host and a port")
    return parsed.origin()


class Endpoint:
    """A broker and the way to it. Immutable; opening it costs nothing."""

    def __init__(
        self, url: str, *, ca_file: Path | None = None, proxy: str = "", proxy_password_file: Path | None = None
    ) -> None:
        """`proxy` is a URL, `none`, or empty for that of the system.

        Raises:
            ConfigError: an address or a file cannot be used.
        """
        self.base: Final = check_url(url)
        self.ca_file: Final = ca_file
        self.proxy: URL | None = None
        self.proxy_from: str = ""  #: What named it, for a person.
        self.proxy_headers: dict[str, str] | None = None  #: What each request must bring for the proxy; secret.
        if self.base.scheme == "https" and proxy != "none":
            self._find_proxy(proxy, proxy_password_file)

    @classmethod
    def of(cls, config: configs.Config) -> "Endpoint":
        """The way that a profile describes.

        Raises:
            ConfigError: see `__init__`.
        """
        return cls(
            config.broker,
            ca_file=config.path("ca_file"),
            proxy=config.proxy,
            proxy_password_file=config.path("proxy_password_file"),
        )

    def __repr__(self) -> str:
        return f"Endpoint({str(self.base)!r})"

    def __str__(self) -> str:
        """For a person; without what opens the proxy."""
        return f"{self.base} through the proxy {self.proxy}" if self.proxy else str(self.base)

    def session(self, on_tls: OnTls | None = None) -> aiohttp.ClientSession:
        """A session of this way, not yet connected. What it is asked must be of `base`, and bring `proxy_headers`.

        Raises:
            ConfigError: the CA file cannot be used.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls(on_tls)),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "valija"},
            proxy=self.proxy,
        )

    def failure(self, error: BaseException) -> UnavailableError | None:
        """What a failure means that will not pass by trying again; None for one that may."""
        match error:
            case aiohttp.ClientConnectorCertificateError():
                return self._unproved(error.certificate_error)
            case aiohttp.ClientSSLError():
                return UnavailableError(
                    f"{self}: TLS cannot be agreed: {error}",
                    hint="Valija needs TLS 1.3: ask the operators, and whoever runs what stands in between.",
                )
            case aiohttp.ClientHttpProxyError(status=407):
                return UnavailableError(
                    f"the proxy {self.proxy} wants to know who you are (407)",
                    hint="Name a file with its `user:password` as `proxy_password_file`.",
                )
        return None

    def _unproved(self, error: Exception) -> UnavailableError:
        code = getattr(error, "verify_code", None)
        if code in {_EXPIRED, _NOT_YET}:
            hint = "Compare this machine's clock; if it is right, the operators must renew the certificate."
        elif code in _WRONG_NAME:
            hint = "Compare the broker's address with the one that the registry gave you."
        else:
            hint = "If the broker has a CA of its own, name its file as `ca_file`; or something in between ends TLS."
        return UnavailableError(f"{self} does not prove its name: {error}", hint=hint)

    def _find_proxy(self, proxy: str, password_file: Path | None) -> None:
        if proxy:
            found, self.proxy_from = _parse(proxy, "a proxy"), "the profile"
            if found.user or found.password:
                raise ConfigError(
                    "`proxy` holds a password", hint="Write `user:password` into a file; name it `proxy_password_file`."
                )
        else:
            named = getproxies().get("https")
            if not named or proxy_bypass(self.base.host or ""):
                return
            found, self.proxy_from = _parse(named if "://" in named else f"http://{named}", "a proxy"), "the system"
            if found.user:
                self.proxy_headers = _authorization(found.user, found.password or "")
        self.proxy = found.origin()
        if password_file is not None:
            self.proxy_headers = _read_password(password_file)

    def _tls(self, on_tls: OnTls | None) -> ssl.SSLContext | bool:
        if self.base.scheme == "http":
            return False
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the CA file {self.ca_file} cannot be used: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if on_tls is not None:
            context.sslobject_class = _watched(on_tls)
        return context


def _watched(on_tls: OnTls) -> type[ssl.SSLObject]:
    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            on_tls(self)

    return Watched


def _parse(url: str, what: str) -> URL:
    """A URL of scheme, perhaps user, host and port; a wrong one is not repeated where it may hold a password."""
    shown = repr(url) if "@" not in url else f"the address of {what}"
    try:
        parsed = URL(url)
    except ValueError:
        raise ConfigError(f"{shown} is not a URL") from None
    if parsed.scheme not in {"https", "http"} or not parsed.host:
        raise ConfigError(f"{shown} does not begin with https:// and the name of {what}")
    if parsed.path not in {"", "/"} or parsed.raw_query_string or parsed.raw_fragment:
        raise ConfigError(f"{shown} has more than a scheme, a host and a port")
    return parsed


def _read_password(path: Path) -> dict[str, str]:
    user, colon, password = configs.first_line(path).partition(":")
    if not user or not colon:
        raise ConfigError(f"the first line of {path} is not `user:password`")
    return _authorization(user, password)


def _authorization(user: str, password: str) -> dict[str, str]:
    """RFC 7617, for a proxy; it goes with CONNECT and never through the tunnel."""
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(user, password)}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
