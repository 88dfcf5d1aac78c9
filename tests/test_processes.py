"""Forks of the warm process behave as new interpreters do: streams, folder, environment, signals, endings."""

import os
import signal
import subprocess
import sys

import processes
import psutil
import pytest

TEXT = {"capture_output": True, "text": True}


def test_a_program_has_its_arguments_folder_environment_and_streams(tmp_path):
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['MILL'], __name__); print('told', file=sys.stderr)"
    done = processes.run(
        [sys.executable, "-c", code, "a", "b c"], cwd=tmp_path, env={"MILL": "old"}, **TEXT
    )
    assert done.returncode == 0
    assert done.stdout == f"['-c', 'a', 'b c'] {tmp_path} old __main__\n"
    assert done.stderr == "told\n"
    assert "MILL" not in os.environ


@pytest.mark.parametrize(
    ("ending", "code"), [("sys.exit(75)", 75), ("os._exit(3)", 3), ("1 / 0", 1), ("pass", 0)]
)
def test_a_program_ends_with_its_own_code_and_as_an_interpreter_ends(ending, code):
    done = processes.run(
        [sys.executable, "-c", f"import atexit, os, sys; atexit.register(print, 'over'); {ending}"],
        **TEXT,
    )
    assert done.returncode == code
    assert done.stdout == ("" if "_exit" in ending else "over\n")
    assert ("ZeroDivisionError" in done.stderr) == (code == 1)


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, -2)]
)
def test_a_program_can_be_killed_and_waited_for_as_a_child_of_the_test(how, code):
    process = processes.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "1\n" and process.poll() is None
    process.send_signal(how)
    assert process.wait(timeout=60) == code
    process.communicate()


def test_a_program_reads_what_is_written_to_it_and_leads_a_session_if_it_was_to():
    code = "import os; print(input(), os.getsid(0) == os.getpid())"
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    for session in (True, False):
        process = processes.Popen(
            [sys.executable, "-c", code], start_new_session=session, **streams
        )
        assert process.communicate("flour\n", timeout=60) == (f"flour {session}\n", None)


def test_a_program_finds_everything_imported_and_no_reactor_and_no_second_thread_of_python():
    code = (
        "import sys, threading; print([n in sys.modules for n in ('torch', 'apache_beam', 'numba', 'scrapy')],"
        "'twisted.internet.reactor' in sys.modules, threading.active_count())"
    )
    assert (
        processes.run([sys.executable, "-c", code], **TEXT).stdout
        == "[True, True, True, True] False 1\n"
    )


def test_a_module_runs_as_main_and_folders_of_pythonpath_are_searched(tmp_path):
    (tmp_path / "grain.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    done = processes.run(
        [sys.executable, "-m", "grain", "x"], env={"PYTHONPATH": str(tmp_path)}, **TEXT
    )
    assert (done.returncode, done.stdout) == (0, "__main__ ['x']\n"), done.stderr


def test_the_system_shows_the_command_line_of_a_new_process():
    process = processes.Popen([sys.executable, "-c", "input()", "a", "b"], stdin=subprocess.PIPE)
    while psutil.Process(process.pid).cmdline()[1:2] != ["-c"]:  # it has not got so far yet
        pass
    assert psutil.Process(process.pid).cmdline()[:5] == [sys.executable, "-c", "input()", "a", "b"]
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0


def test_numpys_and_torchs_own_threads_work_in_a_fork():
    code = (
        "import numpy as np, torch, pyarrow as pa, pyarrow.compute as pc\n"
        "a = np.ones((300, 300)); print((a @ a).sum(), torch.ones(300, 300).mm(torch.ones(300, 300)).sum().item(),"
        " pc.sum(pa.chunked_array([[1, 2], [3]])).as_py())"
    )
    assert (
        processes.run([sys.executable, "-c", code], **TEXT, timeout=60).stdout
        == "27000000.0 27000000.0 6\n"
    )


def test_what_waits_too_long_is_ended():
    code = "import threading; threading.Event().wait()"
    with pytest.raises(subprocess.TimeoutExpired):
        processes.run([sys.executable, "-c", code], timeout=0.2, **TEXT)


def test_what_a_program_starts_itself_may_be_a_fork_too_and_its_own_child():
    code = (
        "import sys, processes; child = processes.Popen([sys.executable, '-c', 'import sys; sys.exit(7)']);"
        "print(child.wait(), 'torch' in sys.modules)"
    )
    assert processes.run([sys.executable, "-c", code], **TEXT, timeout=60).stdout == "7 True\n"


def test_signals_that_are_blocked_where_the_first_fork_is_asked_for_reach_every_fork():
    program = (
        "import signal, sys, processes; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]);"
        "child = processes.Popen([sys.executable, '-c', 'input()'], stdin=-1); child.terminate(); print(child.wait(60))"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(processes.__file__)}
    fresh = subprocess.run([sys.executable, "-c", program], env=environment, **TEXT)
    assert fresh.stdout == "-15\n", fresh.stderr


def test_a_process_of_multiprocessing_answers_through_its_pipe_and_ends():
    context = processes._SpawnContext()
    mine, other = context.Pipe()
    child = context.Process(target=print_into, args=(other,))
    child.start()
    other.close()
    assert mine.recv() == (child.pid, True)
    child.join(60)
    assert child.exitcode == 0


def print_into(pipe):
    pipe.send((os.getpid(), "torch" in sys.modules))
