"""The TLS settings of a Modbus connection: the server is always checked, our own certificate is shown if there is one.

Source: Modbus/TCP Security (port 802): TLS 1.2 or newer, both sides with a certificate.
"""

from __future__ import annotations

import ssl
from typing import Any

from gateway.site.model import ModbusTls


class _Named(ssl.SSLContext):
    """Checks the server's certificate for this name, whatever host the connection goes to."""

    server_name = ""

    def wrap_bio(self, incoming: Any, outgoing: Any, *args: Any, **named: Any) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, *args, **{**named, "server_hostname": self.server_name})


def tls_context(tls: ModbusTls, host: str) -> ssl.SSLContext:
    """Trusts `ca_file` alone. Raises OSError (ssl.SSLError included) where a file can't be read or used."""
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = tls.server_name or host
    context.load_verify_locations(tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
