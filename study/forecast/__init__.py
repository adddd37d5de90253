"""Forecast of what studies cost, before they run: time, memory, disk, money."""
