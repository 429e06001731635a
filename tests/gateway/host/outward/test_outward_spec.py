"""What people write about targets: the shipped examples, and what is refused with a reason."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gateway.host.outward.signature import sign
from gateway.site import OutwardSpec

EXAMPLES = sorted((Path(__file__).parents[4] / "config" / "outward").glob("*.yaml"))
HOOK = {"id": "wms", "url": "https://wms.example/in", "secret_file": "/run/secrets/wms"}
NODE = {"group_id": "G", "edge_node_id": "E"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_sound(path: Path) -> None:
    spec = OutwardSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))["outward"])
    assert spec.webhooks or spec.mqtt or spec.sparkplug
    assert OutwardSpec.model_validate_json(spec.model_dump_json()) == spec  # as the journal keeps it


def test_there_is_an_example_for_each_target() -> None:
    assert [path.stem for path in EXAMPLES] == ["mqtt", "sparkplug", "webhooks"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"webhooks": [HOOK | {"url": "http://wms.example/in"}]}, "without TLS: use https://, or say `tls: waived`"),
        ({"webhooks": [HOOK | {"url": "ftp://wms.example/in"}]}, "must be https://host/path"),
        ({"webhooks": [HOOK | {"url": "https:///in"}]}, "must be https://host/path"),
        ({"webhooks": [HOOK | {"url": "https://wms.example:99999/"}]}, "is no address"),
        ({"webhooks": [HOOK | {"url": "https://me:secret@wms.example/"}]}, "no user and no password"),
        ({"webhooks": [HOOK | {"url": "https://wms.example/#in"}]}, "no server would see"),
        ({"webhooks": [HOOK | {"url": "http://127.0.0.1/", "ca_file": "/ca.pem"}]}, "for https:// only"),
        ({"webhooks": [HOOK, HOOK]}, "wms is taken"),
        ({"webhooks": [HOOK | {"id": "mqtt"}]}, "mqtt is taken"),
        ({"webhooks": [HOOK | {"events": []}]}, "at least 1 item"),
        ({"webhooks": [HOOK | {"secret": "whsec_x"}]}, "Extra inputs are not permitted"),
        ({"mqtt": {"root": "a/b", "broker": {"host": "10.0.0.9"}}}, "reached over the network without TLS"),
        ({"mqtt": {"root": "a/+/b"}}, "String should match pattern"),
        ({"mqtt": {"root": "/a"}}, "String should match pattern"),
        ({"mqtt": {"root": "$SYS/a"}}, "String should match pattern"),
        ({"mqtt": {"root": "a", "qos": 2}}, "Input should be 0 or 1"),
        ({"sparkplug": NODE | {"group_id": "a/b"}}, "String should match pattern"),
        ({"sparkplug": NODE | {"broker": {"host": "scada.example"}}}, "reached over the network without TLS"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        OutwardSpec.model_validate(spec)
    assert problem in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:80/x"])
def test_this_machine_needs_no_tls(url: str) -> None:
    assert OutwardSpec.model_validate({"webhooks": [HOOK | {"url": url}]}).webhooks[0].url == url


def test_tls_can_be_waived() -> None:
    waived = {"host": "10.0.0.9", "tls": "waived"}
    hook = HOOK | {"url": "http://10.0.0.9/", "tls": "waived"}
    assert OutwardSpec.model_validate({"webhooks": [hook], "mqtt": {"root": "a", "broker": waived}})


def test_the_check_in_the_documentation_finds_ours_and_no_other() -> None:
    page = (Path(__file__).parents[4] / "docs" / "outward.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    key, old, body = b"k" * 32, b"o" * 32, b'{"type": "order.finished"}'
    secret = f"whsec_{base64.b64encode(key).decode()}"
    now_s = int(time.time())

    def check(timestamp_s: int, signed_by: list[bytes], sent: bytes) -> bool:
        signature = sign(signed_by, "demo_1_2_0", timestamp_s, body)
        headers = {"webhook-id": "demo_1_2_0", "webhook-timestamp": str(timestamp_s), "webhook-signature": signature}
        found: bool = names["is_from_stellwerk"](secret, headers, sent)
        return found

    assert check(now_s, [key], body)
    assert check(now_s, [old, key], body)
    assert not check(now_s, [old], body)
    assert not check(now_s, [key], body + b" ")
    assert not check(now_s - 3_600, [key], body)
