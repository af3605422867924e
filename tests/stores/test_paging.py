"""One folder, taken in pages, through windows that move, while it changes: nothing is lost, and every pass ends."""

from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

START = datetime(2024, 1, 1)


class Mirror:
    def __init__(self):
        self.items = {}

    def update(self, item, flags):
        self.items[item.sourcekey] = (item.subject, item.read)

    def delete(self, item, flags):
        self.items.pop(item.sourcekey, None)

    def read(self, item, status):
        if item.sourcekey in self.items:
            self.items[item.sourcekey] = (self.items[item.sourcekey][0], status)


class History:
    """Random writes to one folder, and one consumer of it."""

    def __init__(self, server, random):
        self.random = random
        store = server.create_user(f"user {len(list(server.users()))}").store
        self.folder, self.other = store.create_folder("f"), store.create_folder("g")
        self.mirror, self.state, self.begin = Mirror(), None, None
        self.made = 0

    def write(self):
        items = list(self.folder.items())
        act = self.random.choice(["create", "create", "save", "flag", "delete", "soft", "leave", "deliver"])
        if act == "create" or not items:
            self.made += 1
            received = {} if self.random.random() < 0.2 else {"received": self.day()}
            self.folder.create_item(subject=f"s{self.made}", **received)
            return
        item = self.random.choice(items)
        if act == "save":
            self.made += 1
            item.subject = f"t{self.made}"
        elif act == "flag":
            item.read = not item.read
        elif act in ("delete", "soft"):
            item.delete(soft=act == "soft")
        elif act == "leave":
            item.move(self.other)
        else:
            item.received = self.day()

    def day(self):
        return START + timedelta(days=self.random.randrange(10))

    def slide(self):
        self.begin = None if self.random.random() < 0.2 else self.day()

    def page(self, size):
        self.state = self.folder.sync(self.mirror, self.state, begin=self.begin, max_changes=size)

    def finish(self, size):
        """Take pages until nothing changes any more, and compare."""
        for _ in range(200):
            before = self.state
            self.page(size)
            if self.state == before:
                break
        else:
            pytest.fail("the pages do not end")
        shown = [
            item
            for item in self.folder.items()
            if self.begin is None or (item.received is not None and item.received >= self.begin)
        ]
        assert self.mirror.items == {item.sourcekey: (item.subject, item.read) for item in shown}


def once_for_each_seed(check, examples):
    """Run ``check`` for random seeds, all on one server."""
    settings(max_examples=examples, deadline=None, phases=(Phase.generate,))(given(st.integers(0, 2**32))(check))()


@pytest.mark.parametrize("windows", (False, True))
def test_pages_lead_to_what_is_there(quick_server, windows):
    def check(seed):
        random = Random(seed)
        history = History(quick_server, random)
        for _ in range(60):
            act = random.random()
            if act < 0.55:
                history.write()
            elif act < 0.85:
                history.page(random.choice([1, 1, 2, 3, None]))
            elif act < 0.95 and windows:
                history.slide()
            else:
                history.finish(random.choice([1, 2, None]))
        history.finish(None)

    once_for_each_seed(check, 8)


@pytest.mark.parametrize("windows", (False, True))
def test_any_old_state_leads_there_again(quick_server, windows):
    """A consumer that lost its newest states goes on from an older one, with the copy it had then."""

    def check(seed):
        random = Random(seed)
        history = History(quick_server, random)
        kept = []
        for _ in range(30):
            for _ in range(random.randrange(4)):
                history.write()
            if windows and random.random() < 0.3:
                history.begin = history.day()
            elif windows and history.begin is None:
                history.begin = START
            history.page(random.choice([1, 2, None]))
            kept = [*kept[-8:], (history.state, dict(history.mirror.items))]
            if random.random() < 0.2:
                history.state, items = random.choice(kept)
                history.mirror.items = dict(items)
                kept = kept[: 1 + [state for state, _ in kept].index(history.state)]
        history.finish(None)

    once_for_each_seed(check, 6)
