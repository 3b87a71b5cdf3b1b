"""Clouds for provisioners in processes of their own: they call, and the gateway says what may be called and dials."""
