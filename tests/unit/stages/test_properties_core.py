"""The pure core against the reference model, and its invariants, over random commands (P1 to P9, P12)."""

# mypy: disable-error-code="arg-type,attr-defined,misc,no-untyped-call,union-attr,var-annotated,override"

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.stages import (
    BroadcastDispatcher,
    Buffer,
    Cancellation,
    DemandDispatcher,
    DemandWindow,
    PartitionDispatcher,
    State,
    Subscription,
    SubscriptionOptions,
)
from penstock.stages.core.inbound import Delivery, InboundQueue
from penstock.stages.core.outlet import Outlet

from .model import Model

QUICK = settings(deadline=None, max_examples=120)
NAMES = "abc"


class Side:
    """A consumer that only notes."""

    def __init__(self, name):
        self.name = name
        self.got = []
        self.asked = 0

    def receive_events(self, subscription, events):
        self.got.extend(events)

    def receive_cancel(self, subscription, cancellation):
        pass


class Stage(SimpleNamespace):
    """The little that an outlet needs of its stage."""

    def __init__(self):
        super().__init__(state=State.RUNNING, reason=None, infos=[], dropped=[], reasks=[])

    async def on_subscribe(self, role, subscription):
        return None

    async def on_cancel(self, cancellation, subscription):
        return None

    def on_discarded(self, count):
        return False

    def on_released(self, events, why):
        self.dropped.extend(events)

    def receive_ask(self, subscription, count):
        self.reasks.append((subscription, count))

    def deliver_info(self, info):
        self.infos.append(info)

    def post_left(self, function, a, b):
        run(function(a, b))

    def post_due_info(self, info):
        self.infos.append(info)


def run(work):
    """Run what never suspends."""
    if work is None:
        return
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("the core suspended")


class Real:
    """The real outlet, driven by the model's commands."""

    def __init__(self, dispatcher, size=None, keep="last"):
        self.stage = Stage()
        self.upstream = []
        self.outlet = Outlet(
            self.stage,
            demanded=self.upstream.append,
            dispatcher=dispatcher,
            buffer=Buffer(size, keep),
        )
        self.sides = {}
        self.links = {}

    def subscribe(self, name, **options):
        side = self.sides[name] = self.sides.get(name) or Side(name)
        self.links[name] = Subscription(side, self.stage, SubscriptionOptions(**options))
        run(self.outlet.subscribed(self.links[name], None))

    def cancel(self, name):
        run(self.outlet.unsubscribed(self.links.pop(name), Cancellation("left")))

    def ask(self, name, count):
        self.sides[name].asked += count
        run(self.outlet.asked(self.links[name], count))
        while self.stage.reasks:
            run(self.outlet.asked(*self.stage.reasks.pop(0)))

    def emit(self, events):
        self.outlet.emit(events)
        while self.stage.reasks:
            run(self.outlet.asked(*self.stage.reasks.pop(0)))

    def info(self, info):
        run(self.outlet.info(info))

    @property
    def delivered(self):
        return {name: side.got for name, side in self.sides.items()}


name = st.sampled_from("aab" + NAMES)  # mostly the same few, so that they come back
command = st.one_of(
    st.tuples(st.just("ask"), name, st.integers(1, 6)),
    st.tuples(st.just("emit"), st.integers(1, 8), st.just(0)),
    st.tuples(st.just("toggle"), name, st.just(0)),
)
commands = st.lists(command, min_size=5, max_size=50).map(lambda rest: [("toggle", "a", 0), *rest])


def drive(targets, program):
    """Give all targets the same commands; asks of absent consumers are skipped."""
    there, serial = set(), 0
    for what, value, count in program:
        if what == "toggle":
            for target in targets:
                (target.cancel if value in there else target.subscribe)(value)
            there ^= {value}
        elif what == "emit":
            events = list(range(serial, serial + value))
            serial += value
            for target in targets:
                target.emit(list(events))
        elif value in there:
            for target in targets:
                target.ask(value, count)
        yield there, serial


@QUICK
@given(commands, st.sampled_from([None, 0, 1, 5]), st.sampled_from(["first", "last"]))
def test_the_core_does_what_the_model_says(program, size, keep):
    """Deliveries, upstream demand, buffer, pending and drops agree after every command."""
    real, model = Real(DemandDispatcher(), size, keep), Model(size, keep)
    for _ in drive([real, model], program):
        assert real.delivered == model.delivered
        assert real.upstream == model.upstream
        assert list(real.outlet.buffer.events) == model.buffer
        assert real.outlet.dispatcher.pending == model.pending
        assert real.stage.dropped == model.dropped


@QUICK
@given(commands, st.sampled_from([None, 3]))
def test_demand_and_events_are_conserved(program, size):
    """P1, P4 to P7, P12: never more than asked, one order, nothing lost, nothing invented, no stall."""
    real = Real(DemandDispatcher(), size)
    for _, serial in drive([real], program):
        outlet = real.outlet
        got = [event for events in real.delivered.values() for event in events]
        assert all(len(side.got) <= side.asked for side in real.sides.values())
        assert all(side.got == sorted(side.got) for side in real.sides.values())
        assert sorted([*got, *real.stage.dropped, *outlet.buffer.events]) == list(range(serial))
        assert size is None or len(outlet.buffer) <= size
        assert not (len(outlet.buffer) and outlet.dispatcher.deliverable)
        owed = sum(real.upstream) - serial
        assert owed <= outlet.dispatcher.deliverable + outlet.dispatcher.pending


@QUICK
@given(commands)
def test_a_broadcast_gives_all_the_same_sequence(program):
    """P8: from its join on, each consumer sees what the others see; P7: the common demand is always served."""
    real = Real(BroadcastDispatcher())
    joined: dict[str, int] = {}
    for there, serial in drive([real], program):
        for side in real.sides.values():
            assert len(side.got) <= side.asked
            assert len(set(side.got)) == len(side.got)
            assert side.got == sorted(side.got)
        outlet = real.outlet
        assert not (len(outlet.buffer) and outlet.dispatcher.deliverable)
        for name in there ^ joined.keys():
            if name in there:
                joined[name] = len(real.sides[name].got)
            else:
                del joined[name]
        runs = [real.sides[name].got[start:] for name, start in joined.items()]
        assert all(run == list(range(run[0], run[0] + len(run))) for run in runs if run)
        assert len({run[-1] for run in runs if run}) <= 1
        assert serial - len(outlet.buffer) >= max((len(side.got) for side in real.sides.values()), default=0)


@QUICK
@given(commands, st.integers(2, 3))
def test_a_partition_keeps_one_key_with_one_consumer_in_order(program, divisor):
    """P9, and P5 with what waits in the queues of partitions."""
    real = Real(PartitionDispatcher(list(NAMES), hash=lambda event: (event, NAMES[event % divisor])))
    subscribe = real.subscribe
    setattr(real, "subscribe", lambda name: subscribe(name, partition=name))  # noqa: B010 - mypy knows methods only
    for _, serial in drive([real], program):
        for name, side in real.sides.items():
            assert len(side.got) <= side.asked
            assert side.got == sorted(side.got)
            assert {NAMES[event % divisor] for event in side.got} <= {name}
        dispatcher = real.outlet.dispatcher
        waiting = dispatcher.queued() + len(real.outlet.buffer) + len(real.stage.dropped)
        assert sum(len(side.got) for side in real.sides.values()) + waiting == serial


@QUICK
@given(commands, st.lists(st.integers(0, 39), max_size=6), st.sampled_from([None, 2]))
def test_infos_are_never_lost_and_keep_their_order(program, places, size):
    """P12: each info comes once, after the events before it have left."""
    real, sent = Real(DemandDispatcher(), size), 0
    steps = drive([real], program)
    for index, (_, serial) in enumerate(steps):
        for _ in range(places.count(index)):
            real.info((sent, serial))
            sent += 1
        assert real.stage.infos == sorted(real.stage.infos)
        first = next(iter(real.outlet.buffer.events), serial)
        assert all(before <= first for _, before in real.stage.infos)
    real.emit([])
    real.subscribe("z")
    real.ask("z", 10_000)
    assert len(real.stage.infos) == sent


@QUICK
@given(st.integers(1, 30), st.data())
def test_a_window_never_has_more_than_its_maximum_outstanding(maximum, data):
    """P2, P3: batches are at most maximum - minimum; demand is topped up to the maximum, never above."""
    minimum = data.draw(st.integers(0, maximum - 1))
    window = DemandWindow(maximum, minimum)
    sent = window.open()
    consumed = 0
    for size in data.draw(st.lists(st.integers(1, 40), max_size=30)):
        count = min(size, sent - consumed)
        for batch, ask in window.split(count):
            assert 1 <= batch <= maximum - minimum
            consumed += batch
            sent += ask
            assert sent - consumed <= maximum
        assert window.outstanding == sent - consumed > minimum


@QUICK
@given(
    st.lists(st.one_of(st.integers(1, 4), st.text(max_size=1)), max_size=30), st.lists(st.integers(0, 2), max_size=60)
)
def test_the_inbound_queue_is_first_in_first_out(entries, demands):
    """Deliveries wait for demand, controls only for the deliveries before them."""
    queue, out = InboundQueue(), []
    for entry in entries:
        queue.put(Delivery(None, [0] * entry) if isinstance(entry, int) else ("control", entry))
    for demand in demands:
        entry = queue.take(demand)
        if entry is not None:
            assert demand > 0 or type(entry) is not Delivery
            out.append(len(entry.events) if type(entry) is Delivery else entry[1])
        else:
            assert not len(queue) or demand == 0
    assert out == entries[: len(out)]
    assert queue.events == sum(entry for entry in entries[len(out) :] if isinstance(entry, int))
    assert len(queue.clear()) == len(entries) - len(out)
