"""S1: from a connection request to a tunnel that is kept, three sessions, a handshake and offers."""
