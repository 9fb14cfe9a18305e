"""The live bench: real sockets and processes on loopback, in plain threads, nothing patched.

Start reading at `upstream`, `caller` and `relay_process`.
"""
