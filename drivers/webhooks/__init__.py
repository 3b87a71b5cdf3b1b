"""Sends webhooks to receivers that strangers named."""
