"""A wide-area network on one machine: hosts, links with set delay, jitter, loss and cuts, changeable live.

``world`` builds it from network namespaces, ``proxies`` from delaying TCP proxies on loopback where
namespaces are not to be had, ``choose`` picks one; both speak the protocol in ``ports``. The helper
processes (``engine``, ``keeper``, ``enter``) use the standard library only and start without site packages.
"""
