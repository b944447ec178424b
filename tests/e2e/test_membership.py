#!/usr/bin/env python3
"""Members come and go: leave, return at another address, are removed while they are down; definitions follow.

usage: test_membership.py DEBUG_BUILD [RELEASE_BUILD]
"""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster, free_ports, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
TASK = {'id': 'task', 'type': 'stream', 'dbrps': [{'db': 'd', 'rp': 'r'}], 'status': 'enabled',
        'script': "stream|from().measurement('m')|window().period(10s).every(10s)|mean('v')|httpOut('mean')"}


class Membership(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(BUILD)
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.cluster.start().join()
        self.a, self.b, self.c = self.cluster.members

    def executing(self, member):
        return {t['id']: t['executing'] for t in member.get('/tasks?fields=executing')['tasks']}

    def test_sigterm_keeps_the_seat_and_says_left(self):
        b = self.b.member_id
        self.assertEqual(self.b.stop(), 0)
        for member in (self.a, self.c):
            wait_for('left is shown', lambda m=member: m.statuses()[b] == 'left', 10)
        self.b.start()
        self.cluster.wait_alive()
        self.assertEqual(self.b.member_id, b)

    def test_a_member_returns_at_another_address(self):
        b, cluster_id = self.b.member_id, self.a.cluster()['cluster-id']
        self.b.kill()
        self.b.gossip, self.b.rpc, self.b.http = free_ports(3)
        self.b.write_config()
        self.b.start()
        self.cluster.wait_alive(seconds=30)
        for member in self.cluster.members:
            wait_for(f'{member.hostname} lists the new address',
                     lambda m=member: {x['id']: x['rpc-address'] for x in m.cluster()['members']}[b] ==
                     self.b.rpc_address)
            self.assertEqual(member.cluster()['cluster-id'], cluster_id)

    def test_removed_while_down_it_learns_of_it_and_its_tasks_stop(self):
        self.a.post('/tasks', TASK)
        for member in self.cluster.members:
            wait_for('the task runs', lambda m=member: self.executing(m) == {'task': True})
        b, cluster_id = self.b.member_id, self.a.cluster()['cluster-id']
        self.b.kill()
        self.a.client('kapacitor-ctl', 'member', 'remove', b)
        self.b.start()
        wait_for('it is alone', lambda: self.b.cluster()['state'] == 'uninitialized')
        self.assertNotEqual(self.b.cluster()['cluster-id'], cluster_id)
        wait_for('its tasks stop', lambda: self.executing(self.b) == {'task': False})
        self.assertEqual(self.b.get('/tasks/task')['status'], 'disabled')
        self.assertEqual(self.executing(self.a), {'task': True})
        self.assertEqual(len(self.c.cluster()['members']), 2)

        self.a.client('kapacitor-ctl', 'member', 'add', self.b.rpc_address)
        self.cluster.wait_alive()
        wait_for('the cluster\'s definition wins', lambda: self.executing(self.b) == {'task': True})

    def test_a_member_that_was_away_catches_up_and_resurrects_nothing(self):
        self.a.post('/tasks', TASK)
        wait_for('the task is on b', lambda: self.executing(self.b) == {'task': True})
        self.b.kill()
        self.a.request('DELETE', '/kapacitor/v1/tasks/task')
        self.c.post('/tasks', dict(TASK, id='later'))
        self.b.start()
        self.cluster.wait_alive()
        for member in self.cluster.members:
            wait_for('only the later task', lambda m=member: self.executing(m) == {'later': True})
        time.sleep(1)
        self.assertEqual(self.executing(self.a), {'later': True})

    def test_the_last_member_keeps_the_cluster_id(self):
        cluster_id = self.a.cluster()['cluster-id']
        for other in (self.b, self.c):
            self.a.client('kapacitor-ctl', 'member', 'remove', other.member_id)
        wait_for('it is alone', lambda: self.a.cluster()['state'] == 'uninitialized')
        self.assertEqual(self.a.cluster()['cluster-id'], cluster_id)

    def test_definitions_reach_all_within_a_second(self):
        took = []
        for i in range(20):
            began = time.monotonic()
            self.cluster.members[i % 3].post('/tasks', dict(TASK, id=f'task{i}'))
            for member in self.cluster.members:
                wait_for('it is there', lambda m=member: f'task{i}' in self.executing(m), 5, 0.005)
            took.append(time.monotonic() - began)
        print(f'\ndefinitions on all three members: worst {max(took) * 1000:.0f} ms')
        self.assertLess(max(took), 1.0)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
