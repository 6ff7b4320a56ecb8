"""What the process around a worker says before it starts."""

from penstock import App
from penstock.runtime.main import mismatch


def app(*queues: str) -> App:
    made = App()
    for number, queue in enumerate(queues):
        made.task(name=f"task{number}", queue=queue)(lambda: None)
    return made


def test_a_worker_of_a_queue_that_no_task_has_is_shown_those_that_they_have():
    """A worker without `--queue` serves `default`, and nothing would ever run."""
    found = mismatch(app("reports", "emails", "emails"), "default")
    assert (found["queue"], found["queues_of_tasks"]) == ("default", "emails,reports")


def test_a_worker_of_a_queue_that_a_task_has_gets_no_warning():
    """Nor one of an App without tasks, which says so by itself."""
    assert mismatch(app("emails", "default"), "default") == {}
    assert mismatch(app(), "default") == {}
