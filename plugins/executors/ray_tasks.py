"""Each cell as a task of Ray, on any machine of its cluster."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.errors import UserError
from harness.run.jobs import Task
from harness_plugins.executors.processes import Process

try:
    import ray
except ImportError as error:
    raise UserError(
        f"the executor 'ray' needs ray ({error})", where="executor", hint="pip install 'harness[ray]'"
    ) from error
