"""Which addresses may be connected to: none that isn't public, in whatever way it is written or carried."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.addresses import Addresses, AddressRefused, is_public
from tests.fakes.names import FakeNames

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]
PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
]
NUMBERS = [
    "0",
    "1",
    "0x",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0X7F000001",
    "0177.0.0.1",
    "127.0.0.01",
    "017700000001",
    "2130706433",
    "4294967297",
    "127.0.0.1.",
    "256.256.256.256",
    "example.org.1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
async def test_what_is_not_public_is_refused(text: str) -> None:
    """Neither as a host that is written so, nor as what a name has."""
    assert not is_public(ip_address(text))
    for host in (text, "name.test"):
        with pytest.raises(AddressRefused):
            await Addresses(resolve=FakeNames(name_test=[[text]])).of(host)


@pytest.mark.parametrize("text", PUBLIC)
async def test_what_is_public_is_connected_to(text: str) -> None:
    """The neighbours of every range that is refused are not."""
    address = ip_address(text)
    told = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
    assert is_public(address)
    assert await Addresses(resolve=FakeNames(name_test=[[text]])).of("name.test") == [told]
    assert await Addresses(resolve=FakeNames()).of(text) == [told]


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_judged_as_itself(address: IPv4Address) -> None:
    """Mapping an IPv4 address, or reaching it through NAT64, makes nothing of it public that isn't."""
    for network in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(IPv6Address(int(ip_address(network)) + int(address))) == is_public(address)
    for network in ("::", "::ffff:0:0:0"):
        assert not is_public(IPv6Address(int(ip_address(network)) + int(address)))
    assert not is_public(IPv6Address((0x2002 << 112) + (int(address) << 80) + 1))


@given(st.ip_addresses())
def test_what_python_holds_for_special_is_refused(address: IPv4Address | IPv6Address) -> None:
    """Our table is never laxer than the standard library's."""
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local:
        assert not is_public(address)
    carries = isinstance(address, IPv6Address) and address.ipv4_mapped
    if not carries and (address.is_private or not address.is_global):
        assert not is_public(address)


@pytest.mark.parametrize("host", NUMBERS)
async def test_what_only_looks_like_an_address_is_refused(host: str) -> None:
    """Decimal, octal, hexadecimal and shortened forms are not even asked for, whatever the network is allowed to be."""
    names = FakeNames()
    names.answers[host] = [["1.1.1.1"]]
    with pytest.raises(AddressRefused):
        await Addresses([ip_network("0.0.0.0/0")], names).of(host)
    assert names.asked == []


@pytest.mark.parametrize("said", [["1.1.1.1", "10.0.0.1"], ["::1", "1.1.1.1"], ["2606:4700::1", "::ffff:127.0.0.1"]])
async def test_one_address_that_is_not_public_refuses_the_name(said: list[str]) -> None:
    """Whoever answers for a name can't hide a private address behind a public one."""
    with pytest.raises(AddressRefused):
        await Addresses(resolve=FakeNames(name_test=[said])).of("name.test")


async def test_the_operator_allows_networks() -> None:
    """Addresses inside of an allowed network may be connected to, and their neighbours still may not."""
    addresses = Addresses([ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")])
    assert await addresses.of("10.1.2.3") == [ip_address("10.1.2.3")]
    assert await addresses.of("::ffff:10.1.2.3") == [ip_address("10.1.2.3")]
    assert await addresses.of("fd00:1::5") == [ip_address("fd00:1::5")]
    for host in ("10.2.0.1", "fd00:2::5", "127.0.0.1", "169.254.169.254", "::ffff:10.2.0.1"):
        with pytest.raises(AddressRefused):
            await addresses.of(host)


async def test_a_name_without_addresses_looks_like_one_that_is_refused() -> None:
    """Nobody learns which names a network has by asking for them."""
    for names in (FakeNames(), FakeNames(name_test=[[]])):
        with pytest.raises(AddressRefused):
            await Addresses(resolve=names).of("name.test")


async def test_a_name_service_that_fails_is_not_an_answer() -> None:
    """It is a fault of the moment, after which another try may go well."""

    async def busy(_: str) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "busy")

    with pytest.raises(socket.gaierror):
        await Addresses(resolve=busy).of("name.test")


async def test_names_are_looked_up() -> None:
    """Without another resolver the machine's own is asked."""
    found = await Addresses([ip_network("127.0.0.0/8"), ip_network("::1/128")]).of("localhost")
    assert ip_address("127.0.0.1") in found
    with pytest.raises(AddressRefused):
        await Addresses().of("localhost")
