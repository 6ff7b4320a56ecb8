"""The examples of examples/stages run, and do what their first lines say."""

import importlib
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[3] / "examples" / "stages"


def load(name):
    return importlib.import_module(f"examples.stages.{name}")


async def test_counter():
    """Twenty numbers in order."""
    assert await load("counter").main() == list(range(20))


async def test_several_consumers_share_by_their_pace():
    """The fast one does most; together they do all, each once."""
    shares = await load("several_consumers").main()
    assert sum(shares.values()) == 30
    assert shares["fast"] > shares["slow"] >= shares["slower"] > 0


async def test_broadcast_taps_see_everything():
    """The selector spares the alarm what it does not want."""
    seen = await load("broadcast_taps").main()
    assert seen["store"] == seen["metrics"]
    assert len(seen["store"]) == 10
    assert seen["alarm"] == [("order 9", 90), ("order 10", 100)]


async def test_partition_by_key_keeps_each_account_in_order():
    """Each account in one ledger only."""
    ledgers = await load("partition_by_key").main()
    accounts = [account for ledger in ledgers for account in ledger]
    assert len(accounts) == len(set(accounts)) == 12
    for ledger in ledgers:
        for account, numbers in ledger.items():
            assert numbers == list(range(int(account.split()[1]), 120, 12))


async def test_database_poller_does_not_stall():
    """Five, then seven more; it never claims more than it owes."""
    done, running, limits = await load("database_poller").main()
    assert (done, running) == (12, 0)
    assert all(limit <= 50 for limit in limits)


@pytest.mark.looptime
async def test_rate_limiter():
    """Forty events at 200 a second with a burst of five: the last comes after 35 / 200 s."""
    elapsed = await load("rate_limiter").main()
    assert len(elapsed) == 40
    assert elapsed[4] == 0
    assert elapsed[-1] == pytest.approx(35 / 200, rel=0.01)
    assert elapsed[14] == pytest.approx(10 / 200, rel=0.01)


async def test_buffering_producer_splits_and_refills():
    """110 events out of five pages."""
    assert await load("buffering_producer").main() == (110, 5)


async def test_bulk_insert_writes_in_batches():
    """250 rows in three statements."""
    assert await load("bulk_insert").main() == (250, 3)


async def test_webhook_tries_again_and_sets_aside():
    """Every event arrives once, but the one that is always refused."""
    delivered, set_aside = await load("webhook").main()
    assert delivered == [number for number in range(1, 21) if number != 13]
    assert set_aside == [13]


async def test_file_writer(tmp_path):
    """One whole file per event; the one without a JSON form is reported."""
    names, failed = await load("file_writer").main(tmp_path)
    assert names == sorted(f"{number}.json" for number in range(10) if number != 4)
    assert failed == [4]


async def test_social_pipeline():
    """Three networks through one transformer, without the spam."""
    assert await load("social_pipeline").main() == {"blue": 8, "birds": 20, "clips": 4, "spam": 3}


async def test_supervision_recovers_from_both_crashes():
    """Sixty jobs, each done once; nobody is lost."""
    done, restarts = await load("supervision").main()
    assert done == list(range(60))
    assert restarts["jobs"] == 1
    assert sum(restarts.values()) >= 4


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_has_a_test_and_runs_as_a_script(path):
    """As its first lines say: python examples/stages/NAME.py."""
    assert f'load("{path.stem}")' in pathlib.Path(__file__).read_text()
    assert f"python examples/stages/{path.name}" in " ".join(path.read_text().split())
    ran = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
