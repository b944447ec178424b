#!/usr/bin/env python3
"""State of running tasks over restarts, with the real daemon: whatever way it ends, what comes out afterwards is what
a daemon that never stopped gives.

usage: test_checkpoint.py DEBUG_BUILD [RELEASE_BUILD]
"""
import json
import pathlib
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster, Failed, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()

SCRIPTS = {
    'window': "stream|from().measurement('m').groupBy('g')|window().period(60s).every(20s).align()|sum('v')",
    'counted_window': "stream|from().measurement('m').groupBy('g')|window().periodCount(7).everyCount(3)|mean('v')",
    'state_count': "stream|from().measurement('m').groupBy('g')|stateCount(lambda: \"v\" > 3)",
    'sigma': "stream|from().measurement('m').groupBy('g')|eval(lambda: sigma(float(\"v\"))).as('s').keep('s', 'v')",
    'join': ("var k = stream|from().measurement('k').groupBy('g')\n"
             "stream|from().measurement('m').groupBy('g')|join(k).as('m', 'k').tolerance(2s)"),
}


def lines(seed, first, last):
    """One point of both measurements and three groups for each second; `k` comes late now and then."""
    rng = random.Random(seed)
    out = []
    for second in range(last):
        for group in 'abc':
            v, w, late = rng.randrange(8), rng.randrange(100) / 8, rng.random() < 0.3
            if second < first:
                continue
            at = 1700000000 + second
            out.append(f'm,g={group} v={v}i {at}')
            out.append(f'k,g={group} w={w} {at - 1 if late else at}')
    return '\n'.join(out) + '\n'


class Checkpoints(unittest.TestCase):
    maxDiff = None

    def make(self, interval):
        """Two daemons with the same tasks: one is stopped and started, the other one is never."""
        cluster = Cluster(BUILD, ('stopped', 'steady'), f'[task]\n  snapshot-interval = "{interval}"\n')
        self.addCleanup(cluster.__exit__, None, None, None)
        cluster.start()
        for member in cluster.members:
            for name, script in SCRIPTS.items():
                member.post('/tasks', {'id': name, 'dbrps': [{'db': 'machine', 'rp': 'autogen'}], 'status': 'enabled',
                                       'script': script + "|httpOut('out')"})
        return cluster.members

    def feed(self, members, first, last):
        for member in members:
            member.write(lines(7, first, last), precision='s')

    def results(self, member):
        """What each task has said last, once it has said something."""
        out = {}
        for name in SCRIPTS:
            status, body = member.request('GET', f'/kapacitor/v1/tasks/{name}/out')
            out[name] = json.loads(body) if status == 200 else None
        return out

    def check_equal(self, stopped, steady):
        def equal():
            a, b = self.results(stopped), self.results(steady)
            return all(b.values()) and a == b
        try:
            wait_for('both say the same', equal)
        except Failed:
            a, b = self.results(stopped), self.results(steady)
            for name in SCRIPTS:
                self.assertEqual(a[name], b[name], name)
            self.fail('the steady one has said nothing')

    def checkpoints(self, member):
        folder = member.folder / 'data/checkpoints'
        return {f.name: f.read_bytes() for f in folder.iterdir()} if folder.exists() else {}

    def test_a_clean_restart_loses_nothing(self):
        stopped, steady = self.make('1h')
        at = 0
        for step in (25, 13, 1, 40):
            self.feed((stopped, steady), at, at + step)
            at += step
            self.assertEqual(stopped.stop(), 0)
            self.assertEqual(sorted(self.checkpoints(stopped)), sorted(f'{n}.checkpoint' for n in SCRIPTS))
            stopped.start()
            self.feed((stopped, steady), at, at + 7)
            at += 7
        self.feed((stopped, steady), at, at + 61)
        self.check_equal(stopped, steady)

    def test_a_kill_loses_what_came_after_the_last_checkpoint(self):
        stopped, steady = self.make('200ms')
        self.feed((stopped, steady), 0, 47)
        wait_for('five checkpoints', lambda: len(self.checkpoints(stopped)) == len(SCRIPTS))
        time.sleep(0.6)
        stopped.kill(signal.SIGKILL)
        stopped.start()
        self.feed((stopped, steady), 47, 130)
        self.check_equal(stopped, steady)

    def test_a_reload_keeps_state_and_disabling_loses_it(self):
        stopped, steady = self.make('1h')
        self.feed((stopped, steady), 0, 47)
        stopped.client('kapacitor', 'reload', '*')
        self.feed((stopped, steady), 47, 130)
        self.check_equal(stopped, steady)
        stopped.client('kapacitor', 'disable', '*')
        self.assertEqual(self.checkpoints(stopped), {})
        stopped.client('kapacitor', 'enable', '*')
        self.feed((stopped, steady), 130, 131)
        wait_for('something new', lambda: self.results(steady)['state_count'] is not None)
        self.assertNotEqual(self.results(stopped)['window'], self.results(steady)['window'])

    def test_a_checkpoint_that_does_not_fit_is_refused_with_one_line(self):
        stopped, steady = self.make('1h')
        self.feed((stopped,), 0, 47)
        self.assertEqual(stopped.stop(), 0)
        folder = stopped.folder / 'data/checkpoints'
        damaged = folder / 'sigma.checkpoint'
        damaged.write_bytes(damaged.read_bytes()[:-3])
        (folder / 'join.checkpoint').write_bytes((folder / 'window.checkpoint').read_bytes())
        before = len(stopped.log.read_text().splitlines())
        stopped.start()
        said = [line for line in stopped.log.read_text().splitlines()[before:] if 'starts empty' in line]
        self.assertEqual(len(said), 2, said)
        self.assertTrue(any('task=sigma' in line and 'damaged' in line for line in said), said)
        self.assertTrue(any('task=join' in line and 'another task' in line for line in said), said)
        for name in SCRIPTS:
            self.assertTrue(stopped.get(f'/tasks/{name}')['executing'], name)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
