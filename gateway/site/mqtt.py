"""How the gateway comes to a broker, whatever for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.site.spec import Port, Spec


class MqttTls(Spec):
    """Files in PEM. `server_name`: what the broker's certificate is made for, where it is not `host`.

    `cert_file` and `key_file` are the gateway's own, for a broker that asks for them; without `key_file` the key stands
    in `cert_file`. All are read anew at each connect.
    """

    ca_file: Annotated[str, Field(min_length=1)]
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> MqttTls:
        if self.key_file and not self.cert_file:
            raise ValueError("`key_file` is the key of `cert_file`: give that too")
        return self


class BrokerSpec(Spec):
    """A broker for what goes to and comes from hosts and SCADA; it may be another one than the vehicles'."""

    host: str = "127.0.0.1"
    port: Port = 1883
    tls: Literal["waived"] | MqttTls | None = None
    """A broker that is not on this machine needs it, or `waived`; its port is usually 8883 and has to be said."""
    user: str = ""
    password_file: str = ""
    """File with the password in it; it never stands in the YAML."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> BrokerSpec:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("`user` and `password_file` go together: give both or neither")
        return self
