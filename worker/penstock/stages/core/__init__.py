"""Stages themselves: their callbacks, subscriptions, demand windows and buffers."""
