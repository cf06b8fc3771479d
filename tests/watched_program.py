"""A process of a distributed run without MXNet: python watched_program.py FOLDER [SECONDS STATUS].

A worker leaves with the status after the seconds; without them it stays.
"""

import os
import sys
import time
from pathlib import Path

from gluonnorm.job_watch import ROLE, Job, Member

folder, *leave = sys.argv[1:]
role = os.environ[ROLE]
if role == "worker":
    job = Job.from_environment()
    assert job is not None
    member = Member(job)
    member.name(f"worker {folder[-1]}")
(Path(folder) / f"{role}{os.getpid()}").touch()
if role == "worker" and leave:
    time.sleep(float(leave[0]))
    member.leave(int(leave[1]))
    os._exit(int(leave[1]))
time.sleep(1000)
