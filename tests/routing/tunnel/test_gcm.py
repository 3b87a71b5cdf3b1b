"""Our packet cipher and asyncssh's speak the same AES-GCM, packet by packet."""

from asyncssh.crypto.cipher import GCMCipher

from routing.tunnel.gcm import TAG_BYTES, PacketCipher

_KEY = bytes(range(16))
# Two packets before the counter's low bytes carry over.
_IV = b"\x01\x02\x03\x04" + (2**32 - 2).to_bytes(8, "big")


def test_what_is_sealed_either_way_opens_in_order() -> None:
    """Packets sealed by turns in both ways are what asyncssh's cipher opens next, across a carry of the counter."""
    ours, theirs = PacketCipher(_KEY, _IV), GCMCipher("aes128-gcm", _KEY, _IV)
    for number in range(4):
        packet, length = bytes([number]) * 48, (48).to_bytes(4, "big")
        if number % 2:
            head, tag = ours.encrypt_and_sign(length, packet)
            sealed = head[4:] + tag
        else:
            room = bytearray(48 + TAG_BYTES)
            ours.seal_into(length, packet, memoryview(room))
            sealed = bytes(room)
        assert theirs.verify_and_decrypt(length, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]) == packet


def test_what_asyncssh_seals_opens_either_way() -> None:
    """Packets of asyncssh's cipher open by turns in both ways, from views as from bytes."""
    ours, theirs = PacketCipher(_KEY, _IV), GCMCipher("aes128-gcm", _KEY, _IV)
    for number in range(4):
        packet, length = bytes([number]) * 48, (48).to_bytes(4, "big")
        head, tag = theirs.encrypt_and_sign(length, packet)
        if number % 2:
            assert ours.verify_and_decrypt(length, head[4:], tag) == packet
        else:
            assert ours.open(memoryview(length), memoryview(head[4:] + tag)) == packet


def test_a_changed_packet_does_not_open() -> None:
    """One bit of ciphertext, tag or length changed gives None, never other bytes."""
    head, tag = GCMCipher("aes128-gcm", _KEY, _IV).encrypt_and_sign(b"\0\0\0\x30", bytes(48))
    whole = head + tag
    for place in (3, 4, 51, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        assert PacketCipher(_KEY, _IV).open(bytes(changed[:4]), bytes(changed[4:])) is None


def test_a_packet_put_back_is_opened_once_more_and_counts_once() -> None:
    """After ``put_back`` the same packet comes out again, and then the next one, not the one after it."""
    theirs = GCMCipher("aes128-gcm", _KEY, _IV)
    sealed = []
    for number in range(2):
        head, tag = theirs.encrypt_and_sign(b"\0\0\0\x30", bytes([number]) * 48)
        sealed.append((head[:4], head[4:] + tag))
    ours = PacketCipher(_KEY, _IV)
    first = ours.open(*sealed[0])
    assert first is not None
    ours.put_back(first)
    assert ours.open(*sealed[0]) == bytes(48)
    assert ours.open(*sealed[1]) == b"\x01" * 48
