"""Faults at random moments of runs of two processes, on a disk and in a bucket, many after one another.

    python -m tests.faults.campaign [--place disk|bucket] [--fault NAME] [--times 20] [--seed N]

A run of three stages is started, disturbed, started again, and disturbed again, until it ends: then parameters, ledgers and
metrics must be bitwise those of a run that nothing disturbed. Then the next run begins, until each fault was injected so many times.
"""
