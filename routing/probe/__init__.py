"""Measure links: what to probe (plan), how (icmp, tcp, via_relay), and what the samples say (summary)."""
