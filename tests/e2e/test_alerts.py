#!/usr/bin/env python3
"""Alerts through real processes: silences, dead letters, limits, slow and broken endpoints.

usage: test_alerts.py DEBUG_BUILD [RELEASE_BUILD]
"""
import pathlib
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster, Sink, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
RELEASE = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else BUILD


class Alerts(unittest.TestCase):
    names, config, build = ('serverA',), '', BUILD

    def setUp(self):
        self.cluster = Cluster(self.build, self.names, self.config)
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.cluster.start()
        self.member = self.cluster.members[0]

    def sink(self):
        sink = Sink()
        self.addCleanup(sink.close)
        return sink

    def task(self, name, script, member=None):
        (member or self.member).post('/tasks', {
            'id': name, 'type': 'stream', 'dbrps': [{'db': 'machine', 'rp': 'autogen'}], 'script': script,
            'status': 'enabled'})

    def handler(self, topic, name, kind, options, **more):
        self.member.post(f'/alerts/topics/{topic}/handlers', {'id': name, 'kind': kind, 'options': options, **more})

    def alert(self, topic, extra=''):
        self.task(f'task-{topic}', f"""stream|from().measurement('{topic}').groupBy('host')
            |alert().crit(lambda: "v" > 10).id('{{{{ index .Tags "host" }}}}').topic('{topic}'){extra}""")

    def write(self, topic, host, *values, member=None):
        lines = ''.join(f'{topic},host={host} v={v} {time.time_ns() + i}\n' for i, v in enumerate(values))
        (member or self.member).write(lines)


def seen(sink):
    return [(d.event['id'], d.event['level']) for d in list(sink.deliveries)]


class Silences(Alerts):
    names = ('serverA', 'serverB')

    def test_a_silence_is_one_command_and_holds_on_all_members(self):
        self.cluster.join()
        sink = self.sink()
        self.alert('cpu')
        self.handler('cpu', 'post', 'post', {'url': sink.url})
        for other in self.cluster.members:
            wait_for('the task runs', lambda m=other: m.get('/tasks/task-cpu')['executing'])
        code, name = self.member.client('kapacitor', 'silence', 'add', '-topic', 'c*', '-tag', 'host=web*',
                                        '-comment', 'deploy', '1h')
        self.assertEqual(code, 0)
        name = name.strip()
        wait_for('the other member has it', lambda: self.cluster.members[1].get('/alerts/silences')['silences'], 1)
        for member in self.cluster.members:
            self.write('cpu', 'web1', 20, member=member)
            self.write('cpu', 'db1', 20, member=member)
        wait_for('the other host is told of', lambda: ('db1', 'CRITICAL') in seen(sink))
        time.sleep(0.5)
        self.assertNotIn('web1', {host for host, _ in seen(sink)})
        levels = {e['id']: e['state']['level'] for e in self.member.get('/alerts/topics/cpu/events')['events']}
        self.assertEqual(levels['web1'], 'CRITICAL')
        shown = self.cluster.members[1].client('kapacitor', 'silence', 'list')[1]
        self.assertIn(name, shown)
        self.assertIn('tag=host=web*', shown)
        self.cluster.members[1].client('kapacitor', 'silence', 'remove', name)
        wait_for('it is gone everywhere', lambda: not self.member.get('/alerts/silences')['silences'], 1)
        for member in self.cluster.members:
            self.write('cpu', 'web1', 21, member=member)
        wait_for('the host is told of again', lambda: ('web1', 'CRITICAL') in seen(sink))
        code, text = self.member.client('kapacitor', 'silence', 'remove', name, check=False)
        self.assertNotEqual(code, 0)
        self.assertIn(f'unknown silence: "{name}"', text)

    def test_what_is_wrong_with_a_silence_is_said(self):
        status, text = self.member.request('POST', '/kapacitor/v1/alerts/silences', {'topik': 'cpu'})
        self.assertEqual(status, 400)
        self.assertIn('did you mean \\"topic\\"', text)


class Global(Alerts):
    def setUp(self):
        self.slack = self.sink()
        self.config = f"""
[slack]
  enabled = true
  global = true
  state-changes-only = true
  url = "{self.slack.url}"
  channel = "#alerts"
"""
        super().setUp()

    def test_a_global_handler_is_every_alerts_and_tells_of_changes_only(self):
        self.task('plain', "stream|from().measurement('m')|alert().crit(lambda: \"v\" > 10).id('plain')")
        wait_for('the task runs', lambda: self.member.get('/tasks/plain')['executing'])
        self.write('m', 'a', 20, 21, 22, 1, 2, 20)
        wait_for('three changes', lambda: len(self.slack.deliveries) == 3)
        time.sleep(0.3)
        texts = [d.event['attachments'][0]['text'] for d in self.slack.deliveries]
        self.assertEqual(texts, ['plain is CRITICAL', 'plain is OK', 'plain is CRITICAL'])


class Endpoints(Alerts):
    def test_one_that_hangs_slows_no_other(self):
        slow, quick = self.sink(), self.sink()
        slow.delay = 6.0
        self.alert('mem', f".post('{slow.url}')")
        self.handler('mem', 'quick', 'post', {'url': quick.url})
        wait_for('the task runs', lambda: self.member.get('/tasks/task-mem')['executing'])
        delays = []
        for i in range(40):
            start = time.monotonic()
            self.write('mem', f'h{i}', 20)
            wait_for('delivery', lambda n=i + 1: len(quick.deliveries) >= n, every=0.001)
            delays.append(time.monotonic() - start)
        self.assertEqual(len(slow.deliveries), 0)
        self.assertLess(sorted(delays)[-2], 0.25)


class DownTarget(Alerts):
    """A target that is down while 10,000 events fire, and the server is killed meanwhile."""
    build = RELEASE
    hosts, changes = 1000, 10

    def test_all_is_delivered_in_order_after_it_is_back(self):
        down, other = self.sink(), self.sink()
        down.status = 503
        self.alert('net')
        self.handler('net', 'down', 'post', {'url': down.url})
        self.alert('other')
        self.handler('other', 'other', 'post', {'url': other.url})
        for name in ('net', 'other'):
            wait_for('the task runs', lambda n=name: self.member.get(f'/tasks/task-{n}')['executing'])
        for i in range(self.changes):
            self.member.write(''.join(f'net,host=h{h} v={0 if i % 2 else 20} {time.time_ns()}\n'
                                      for h in range(self.hosts)))
        self.write('other', 'x', 20)
        wait_for('another handler works', lambda: len(other.deliveries) == 1, 2)
        pending = lambda: next(v['values'] for v in self.member.get('/debug/vars')['kapacitor'].values()  # noqa: E731
                               if v['name'] == 'kapacitor_alerts')['pending']
        wait_for('all are pending', lambda: pending() == self.hosts * self.changes)
        time.sleep(0.5)
        self.member.kill()
        self.member.start()
        self.assertEqual(pending(), self.hosts * self.changes)
        time.sleep(3)
        down.status = 200
        began = time.monotonic()
        wait_for('all are delivered', lambda: len(down.deliveries) >= self.hosts * self.changes, 60)
        took = time.monotonic() - began
        print(f'{self.hosts * self.changes} events {took:.1f} s after the target was back', flush=True)
        order = {}
        for d in down.all():
            order.setdefault(d.event['id'], []).append(d.event['time'])
        self.assertEqual(len(order), self.hosts)
        for host, times in order.items():
            self.assertEqual(times, sorted(times), host)
            self.assertEqual(len(set(times)), self.changes, host)


class Deadman(Alerts):
    """1,000 groups over a restart, with data going on; ten of them die while the server is down."""
    build = RELEASE
    groups, interval = 1000, 2.0

    def feed(self):
        while not self.stopped.is_set():
            first = 10 if self.dead else 0
            lines = ''.join(f'dm,host=h{h} v=1\n' for h in range(first, self.groups))
            try:
                self.member.write(lines)
            except OSError:
                pass  # it is down
            self.stopped.wait(0.4)

    def test_a_restart_is_no_death_and_hides_none(self):
        sink = self.sink()
        self.stopped, self.dead = threading.Event(), False
        self.task('dm', f"""stream|from().measurement('dm').groupBy('host')
            |deadman(2.0, {self.interval:.0f}s).id('{{{{ index .Tags "host" }}}}').stateChangesOnly().post('{sink.url}')""")
        wait_for('the task runs', lambda: self.member.get('/tasks/dm')['executing'])
        feeder = threading.Thread(target=self.feed, daemon=True)
        feeder.start()
        self.addCleanup(self.stopped.set)
        time.sleep(3 * self.interval)
        self.assertEqual(seen(sink), [])
        self.member.stop()
        self.dead = True
        time.sleep(3 * self.interval)
        self.member.start()
        up = time.monotonic()
        wait_for('the dead are told of', lambda: len(sink.deliveries) >= 10, 2 * self.interval + 1)
        print(f'ten dead groups told of {time.monotonic() - up:.1f} s after the start', flush=True)
        time.sleep(2 * self.interval)
        self.assertEqual(sorted(seen(sink)), sorted((f'h{h}', 'CRITICAL') for h in range(10)))
        self.member.kill(signal.SIGSTOP)
        time.sleep(3 * self.interval)
        self.member.kill(signal.SIGCONT)
        time.sleep(2 * self.interval)
        self.assertEqual(len(sink.deliveries), 10)


class DeadLetters(Alerts):
    def test_what_is_refused_is_kept_listed_and_replayed(self):
        sink = self.sink()
        sink.status = 400
        self.alert('disk')
        self.handler('disk', 'post', 'post', {'url': sink.url})
        wait_for('the task runs', lambda: self.member.get('/tasks/task-disk')['executing'])
        self.write('disk', 'a', 20)
        self.write('disk', 'b', 20)
        letters = lambda: self.member.get('/alerts/dead-letters')['dead-letters']  # noqa: E731
        wait_for('two dead letters', lambda: len(letters()) == 2)
        self.assertEqual([(x['topic'], x['event'], x['level'], x['handler']) for x in letters()],
                         [('disk', 'a', 'CRITICAL', 'post'), ('disk', 'b', 'CRITICAL', 'post')])
        self.assertIn('400', letters()[0]['error'])
        time.sleep(0.1)
        self.member.kill()
        self.member.start()
        self.assertEqual(len(letters()), 2)
        first = str(letters()[0]['id'])
        self.member.client('kapacitor', 'dead-letters', 'replay', first)
        wait_for('it is refused again', lambda: not letters()[0]['replaying'])
        self.assertEqual(len(letters()), 2)
        sink.status = 200
        self.member.client('kapacitor', 'dead-letters', 'replay', first)
        wait_for('it is delivered', lambda: len(letters()) == 1)
        self.assertEqual(seen(sink), [('a', 'CRITICAL')])
        self.assertIn(' b ', self.member.client('kapacitor', 'dead-letters', 'list')[1])
        self.member.client('kapacitor', 'dead-letters', 'delete', 'all')
        self.assertEqual(letters(), [])
        code, text = self.member.client('kapacitor', 'dead-letters', 'replay', first, check=False)
        self.assertNotEqual(code, 0)
        self.assertIn('unknown dead letter', text)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
