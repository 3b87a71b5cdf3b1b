"""Where key-encryption keys come from."""
