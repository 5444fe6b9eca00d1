"""The routing, without Ray: python3 deploy/ray/app_test.py"""

import json

from app import PrefixRouter, prefix_hashes


def body(*messages, **fields):
    return json.dumps({"messages": [{"role": "user", "content": m} for m in messages], **fields}).encode()


def test_prefixes():
    assert prefix_hashes(b"no json") == [] and prefix_hashes(b"[1]") == []
    one, two = prefix_hashes(body("a")), prefix_hashes(body("a", "b"))
    assert two[1:] == one and two[0] not in one
    assert prefix_hashes(body("a", system="s")) != one


def test_routing():
    router = PrefixRouter(3)
    first = router.choose(prefix_hashes(body("a")))
    router.load[first] += 1
    assert router.choose(prefix_hashes(body("z"))) != first, "what is new goes to the least busy"
    assert router.choose(prefix_hashes(body("a", "b"))) == first, "what is known goes back"
    router.load[first] += 10
    assert router.choose(prefix_hashes(body("a", "b", "c"))) != first, "but not into a long queue"


test_prefixes()
test_routing()
print("ok")
