"""A local worker process: Beam's own, without the log lines it prints before it reads its options.

Started by `engine` as `python -m pipelines.engine.worker`; its parent talks to it through the environment, as Beam does.
"""

import logging
import signal
import sys


def quiet_beam() -> None:
    """Beam's workers print what fails besides raising it; a person is told once, by the launcher."""
    from apache_beam.runners.worker import sdk_worker

    sdk_worker.print = lambda *_, **__: None


def main() -> None:
    """Serve until the job ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the launcher too, which ends its workers
    logging.disable(logging.ERROR)  # errors reach the launcher as exceptions
    from apache_beam.runners.worker import sdk_worker_main

    quiet_beam()
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
