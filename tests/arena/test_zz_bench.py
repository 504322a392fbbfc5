import time, random, statistics, numpy as np, pytest
from arena import sampler, battles, arena_settings, pairing
from arena.models import ArenaSettings, Contestant
from tests import factories
@pytest.mark.django_db
def test_b(settings):
    settings.SETTINGS_RECHECK_SECONDS=2
    e=factories.endpoint()
    ms=[factories.contestant(endpoint=e) for _ in range(300)]
    m=np.random.default_rng(0).random((300,300)); m=m+m.T
    sampler.store_needs(contestants=[x.pk for x in ms],needs=m,votes=1)
    for kind in ("uniform","active"):
        arena_settings.change(sampler=kind)
        time.sleep(2.1); battles.draw_pair()
        t=[]
        for _ in range(200):
            s=time.perf_counter(); battles.draw_pair(); t.append(time.perf_counter()-s)
        s=time.perf_counter()
        for _ in range(50): dict(Contestant.objects.drawable().values_list("id","weight"))
        base=(time.perf_counter()-s)/50
        print(kind,"median ms",1000*statistics.median(t),"max",1000*max(t),"query+dict alone",1000*base)
    from leaderboard import pair_needs
