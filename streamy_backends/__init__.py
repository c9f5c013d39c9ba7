"""Streamy's own backends: ordinary plug-ins, found like everybody else's."""
