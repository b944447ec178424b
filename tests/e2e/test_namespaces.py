#!/usr/bin/env python3
"""The guide in network namespaces: two hosts named serverA and serverB, the default ports, the exact output of
`member list`. Names resolve through /etc/netns/NAME/hosts, which only processes inside the namespace see.

usage: test_namespaces.py DEBUG_BUILD [RELEASE_BUILD]      (needs root)
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
HOSTS = {'serverA': '10.99.7.1', 'serverB': '10.99.7.2'}
UUID = r'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'


def sh(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


class Host:
    """A network namespace with one member in it."""

    def __init__(self, name, folder):
        self.name, self.netns = name, f'kap{os.getpid()}{name[-1]}'
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.process = None
        etc = pathlib.Path('/etc/netns') / self.netns
        etc.mkdir(parents=True)
        (etc / 'hosts').write_text('127.0.0.1 localhost\n' + ''.join(f'{ip} {n}\n' for n, ip in HOSTS.items()))
        sh('ip', 'netns', 'add', self.netns)
        sh('ip', '-n', self.netns, 'link', 'set', 'lo', 'up')
        (self.folder / 'kapacitor.conf').write_text(f'hostname = "{name}"\ndata_dir = "{self.folder}/data"\n'
                                                    f'[logging]\n  file = "{self.folder}/log"\n'
                                                    '[load]\n  enabled = false\n[[influxdb]]\n  enabled = false\n')

    def command(self, *args):
        return ['ip', 'netns', 'exec', self.netns, *map(str, args)]

    def start(self):
        self.process = subprocess.Popen(self.command(BUILD / 'cmd/kapacitord', '-config', self.folder / 'kapacitor.conf'),
                                        stdin=subprocess.DEVNULL)
        wait_for(f'{self.name} answers', lambda: self.ctl('member', 'list').returncode == 0)

    def ctl(self, *args):
        return subprocess.run(self.command(BUILD / 'cmd/kapacitor-ctl', *args), capture_output=True, text=True)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self):
        self.stop()
        subprocess.run(['ip', 'netns', 'del', self.netns], check=False)
        shutil.rmtree(pathlib.Path('/etc/netns') / self.netns, ignore_errors=True)


class Guide(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='kapacitor-netns-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.hosts = []
        for name in HOSTS:
            host = Host(name, self.folder)
            self.hosts.append(host)
            self.addCleanup(host.remove)
        a, b = self.hosts
        sh('ip', 'link', 'add', 'veth0', 'netns', a.netns, 'type', 'veth', 'peer', 'name', 'veth0', 'netns', b.netns)
        for host in self.hosts:
            sh('ip', '-n', host.netns, 'addr', 'add', HOSTS[host.name] + '/24', 'dev', 'veth0')
            sh('ip', '-n', host.netns, 'link', 'set', 'veth0', 'up')

    def list(self, host):
        done = host.ctl('member', 'list')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout

    def test_the_guide(self):
        a, b = self.hosts
        ids = {}
        for host in self.hosts:
            host.start()
            text = self.list(host)
            found = re.fullmatch(rf'State: uninitialized\nCluster ID: ({UUID})\nLocal Member ID: ({UUID})\n'
                                 r'Member ID                               Gossip Address RPC Address    API Address    '
                                 r'Roles  Status\n'
                                 rf'({UUID})    {host.name}:9090   {host.name}:9091   {host.name}:9092   worker alive\n',
                                 text)
            self.assertIsNotNone(found, text)
            self.assertEqual(found[2], found[3])
            ids[host.name] = (found[1], found[2])
        self.assertNotEqual(ids['serverA'][0], ids['serverB'][0])

        added = a.ctl('member', 'add', 'serverB:9091')
        self.assertEqual(added.returncode, 0, added.stdout + added.stderr)
        rows = {n: f'{ids[n][1]}    {n}:9090   {n}:9091   {n}:9092   worker alive' for n in HOSTS}
        for host in self.hosts:
            wait_for(f'{host.name} lists two', lambda h=host: self.list(h).count(' alive') == 2)
            lines = self.list(host).splitlines()
            self.assertEqual(lines[:3], ['State: initialized', f'Cluster ID: {ids["serverA"][0]}',
                                         f'Local Member ID: {ids[host.name][1]}'])
            self.assertEqual(sorted(lines[4:]), sorted(rows.values()))

        self.restart_is_a_rejoin(a, b, ids)
        self.cut_and_heal(a, b)

        removed = a.ctl('member', 'remove', ids['serverB'][1])
        self.assertEqual(removed.returncode, 0, removed.stdout + removed.stderr)
        wait_for('serverB is alone', lambda: 'State: uninitialized' in self.list(b))
        self.assertNotIn(ids['serverA'][0], self.list(b))
        self.assertIn(f'Cluster ID: {ids["serverA"][0]}', self.list(a))
        self.assertIn('State: uninitialized', self.list(a))

    def restart_is_a_rejoin(self, a, b, ids):
        b.stop()
        wait_for('serverB is failed', lambda: ' failed' in self.list(a), 20)
        b.start()
        for host in (a, b):
            wait_for(f'{host.name} sees both', lambda h=host: self.list(h).count(' alive') == 2)
            self.assertIn(f'Cluster ID: {ids["serverA"][0]}', self.list(host))

    def cut_and_heal(self, a, b):
        """Both live, the link does not: each sees the other failed, then one cluster again without a command."""
        sh('ip', '-n', a.netns, 'link', 'set', 'veth0', 'down')
        for host in (a, b):
            wait_for(f'{host.name} sees the other failed', lambda h=host: ' failed' in self.list(h), 30)
        sh('ip', '-n', a.netns, 'link', 'set', 'veth0', 'up')
        for host in (a, b):
            wait_for(f'{host.name} sees both again', lambda h=host: self.list(h).count(' alive') == 2, 40)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
