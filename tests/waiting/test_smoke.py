from __future__ import annotations
from collections import Counter
from waits import *

def test_smoke(arize):
    task = create_task(arize)
    runs = arize.create_runs(task, 250, (1.0, 3.0))
    import time; t=time.time()
    events = wait_for(*(trigger(r, task) for r in runs))
    print(time.time()-t, Counter(e.outcome for e in events), Counter(e.run.status for e in events if e.run), Counter(r["operation"] for r in arize.requests()), events[0])
    arize.clear_requests()
    runs = arize.create_runs(task, 250, (1.0, 3.0))
    events = wait_for(*(trigger(r) for r in runs))
    print(Counter(e.outcome for e in events), Counter(r["operation"] for r in arize.requests()), events[0])
    assert 0
