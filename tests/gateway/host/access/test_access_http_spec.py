"""What may be written in the YAML's `http` block."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gateway.site import HttpSpec

PAGE = Path(__file__).parents[4] / "docs" / "access.md"
FILES = {"cert_file": "cert.pem", "key_file": "key.pem"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert HttpSpec(host=host).tls is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "wes.example", ""])
def test_beyond_it_tls_is_said_or_waived(host: str) -> None:
    with pytest.raises(ValidationError):
        HttpSpec(host=host)
    if host:
        assert HttpSpec.model_validate({"host": host, "tls": FILES}).tls is not None
        assert HttpSpec(host=host, tls="waived").tls == "waived"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"tls": {"cert_file": "cert.pem"}}, "key_file"),
        ({"tls": "none"}, "tls"),
        ({"proxies": ["10.0.0.1/8"]}, "10.0.0.1/8"),
        ({"proxies": ["wes.example"]}, "wes.example"),
        ({"proxies": ["10.0.0.1"] * 33}, "proxies"),
        ({"cors": ["*"]}, "without a path or"),
        ({"cors": ["https://wms.example/"]}, "https://wms.example/"),
        ({"cors": ["https://*.example"]}, "example"),
        ({"cors": ["https://u@wms.example"]}, "wms.example"),
        ({"cors": ["null"]}, "null"),
        ({"public_url": "https://wes.example/path"}, "public_url"),
        ({"public_url": "javascript:alert(1)"}, "public_url"),
        ({"rate": {"reads": {"per_s": 0, "burst": 1}}}, "per_s"),
        ({"session": {"hours_max": 0}}, "hours_max"),
        ({"audit_entries_max": 10}, "audit_entries_max"),
        ({"oidc": {"issuer": "https://login.example", "client_id": "x", "roles": {}}}, "roles"),
        ({"oidc": {"issuer": "https://login.example", "client_id": "x", "roles": {"a": "root"}}}, "roles"),
        ({"oidc": {"issuer": "login.example", "client_id": "x", "roles": {"a": "viewer"}}}, "issuer"),
        (
            {"oidc": {"issuer": "https://l.example", "client_id": "x", "roles": {"a": "viewer"}, "scopes": ["email"]}},
            "openid",
        ),
        ({"password": "secret"}, "password"),
    ],
)
def test_what_is_not_meant_so_is_refused_by_name(block: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("*", ".")):
        HttpSpec.model_validate(block)


def test_a_whole_block() -> None:
    spec = HttpSpec.model_validate(
        {
            "host": "0.0.0.0",
            "port": 8443,
            "tls": FILES,
            "public_url": "https://wes.example:8443",
            "proxies": ["10.1.0.0/24", "fd00::1"],
            "cors": ["https://wms.example:9000"],
            "oidc": {"issuer": "https://login.example/realms/plant", "client_id": "x", "roles": {"a": "viewer"}},
        }
    )
    assert HttpSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_examples_of_the_page_are_right() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        assert HttpSpec.model_validate(yaml.safe_load(block)["http"]).oidc is not None
