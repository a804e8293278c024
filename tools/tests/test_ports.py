import socket

import pytest

from waybill.stack import ports


def test_stated_ports_are_taken_and_the_others_are_free_and_distinct() -> None:
    stated = ports.free_port()
    chosen = ports.choose(["a", "b", "c"], {"b": stated}, {})
    assert chosen["b"] == stated
    assert len(set(chosen.values())) == 3
    assert all(ports.is_free(port) for port in chosen.values())


def test_a_preferred_port_that_is_taken_gives_way_to_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, 0))
        taken.listen()
        number = taken.getsockname()[1]
        chosen = ports.choose(["a"], {}, {"a": number})
        assert chosen["a"] != number
        with pytest.raises(ports.PortTaken, match=f"port {number}, stated for a, is taken"):
            ports.choose(["a"], {"a": number}, {})


def test_a_preferred_port_that_is_free_is_taken() -> None:
    wanted = ports.free_port()
    assert ports.choose(["a"], {}, {"a": wanted}) == {"a": wanted}


def test_a_port_cannot_be_stated_twice() -> None:
    wanted = ports.free_port()
    with pytest.raises(ports.PortTaken, match="twice"):
        ports.choose(["a", "b"], {"a": wanted, "b": wanted}, {})
