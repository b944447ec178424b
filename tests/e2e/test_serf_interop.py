#!/usr/bin/env python3
"""Our membership among stock serf agents: they join us and we join them, both see the same members with the same
tags, each notices when the other is killed, leaves or restarts; plain and encrypted. Loopback only.

usage: test_serf_interop.py DEBUG_BUILD [RELEASE_BUILD]
"""
import base64
import os
import pathlib
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BUILD = pathlib.Path(sys.argv[1]).resolve()
CLUSTER = '876ddfb4-1879-4f40-87e2-4080c04d3096'
KEY = base64.b64encode(bytes(range(32))).decode()
KEY2 = base64.b64encode(bytes(range(32, 64))).decode()


def text(s):
    return (bytes([0xa0 + len(s)]) if len(s) < 32 else b'\xda' + len(s).to_bytes(2, 'big')) + s


def alive(name, addr):
    """An alive message as memberlist writes it, uninvited."""
    host, port = addr.rsplit(':', 1)
    fields = {b'Addr': text(socket.inet_aton(host)), b'Incarnation': b'\x09', b'Meta': text(b'\xff\x80'),
              b'Node': text(name.encode()), b'Port': b'\xcd' + int(port).to_bytes(2, 'big'),
              b'Vsn': text(bytes([1, 5, 2, 2, 5, 5]))}
    return b'\x04\x86' + b''.join(text(k) + v for k, v in fields.items())


def wait_for(what, check, seconds=15):
    """Until check() is true; AssertionError with `what` otherwise. Returns how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if check():
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f'not within {seconds} s: {what}')


class Node:
    """One of ours: the membership core with real sockets."""

    def __init__(self, name, addr, *options, cluster=CLUSTER):
        self.name, self.addr = name, addr
        self.process = subprocess.Popen([BUILD / 'tests/e2e/gossip_node', name, cluster, addr, *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.events, self.answers = [], queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_for(f'{name} is up', lambda: self.members())

    def read(self):
        for line in self.process.stdout:
            if line.startswith('event '):
                self.events.append(line.strip())
            else:
                self.answers.put(line.strip())

    def say(self, command):
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()

    def ask(self, command):
        self.say(command)
        lines = []
        while (line := self.answers.get(timeout=10)) != 'end':
            lines.append(line)
        return lines

    def members(self):
        """{name: (status, addr, {tag: value})}"""
        found = {}
        for line in self.ask('members'):
            _, name, addr, status, *tags = line.split()
            found[name] = (status, addr, dict(t.split('=', 1) for t in tags))
        return found

    def status(self, name):
        return self.members().get(name, ('unknown',))[0]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def quit(self):
        if self.process.poll() is None:
            self.say('quit')
            return self.process.wait(timeout=10)
        return 0


class Agent:
    """A stock one."""

    def __init__(self, name, addr, *options, tags=('role=observer',)):
        self.name, self.addr = name, addr
        host, port = addr.rsplit(':', 1)
        self.rpc = f'{host}:{int(port) + 1}'
        self.log = tempfile.TemporaryFile('w+')
        command = ['serf', 'agent', '-node', name, '-bind', addr, '-rpc-addr', self.rpc, '-log-level', 'debug',
                   '-tag', f'cluster={CLUSTER}']
        for tag in tags:
            command += ['-tag', tag]
        self.process = subprocess.Popen(command + list(options), stdout=self.log, stderr=subprocess.STDOUT)
        try:
            wait_for(f'{name} is up', lambda: self.process.poll() is not None or self.serf('info').returncode == 0)
            assert self.process.poll() is None, self.output()
        except BaseException:
            self.kill()
            raise

    def serf(self, *command):
        return subprocess.run(['serf', command[0], f'-rpc-addr={self.rpc}', *command[1:]], capture_output=True,
                              text=True, timeout=20)

    def members(self):
        found = {}
        for line in self.serf('members').stdout.splitlines():
            name, addr, status, *tags = line.split()
            found[name] = (status, addr, dict(t.split('=', 1) for t in (tags[0].split(',') if tags else [])))
        return found

    def status(self, name):
        return self.members().get(name, ('unknown',))[0]

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def kill(self):
        self.process.kill()
        self.process.wait()


@unittest.skipUnless(shutil.which('serf'), 'serf is not installed')
class Interop(unittest.TestCase):
    def setUp(self):
        self.base = random.randrange(20000, 40000, 10)
        self.procs = []
        self.addCleanup(self.stop)

    def stop(self):
        for p in self.procs:
            if isinstance(p, Node) and p.process.poll() is None and p.process.returncode is None:
                os.kill(p.process.pid, signal.SIGCONT)
                self.assertEqual(p.quit(), 0, 'a node of ours ended badly')
            p.kill()
            if isinstance(p, Agent):
                p.log.close()
            else:
                p.process.stdin.close()
                p.reader.join()
                p.process.stdout.close()

    def addr(self, i):
        return f'127.0.{self.base % 250 + 1}.{i + 1}:{self.base}'

    def node(self, i, *options, **more):
        n = Node(f'node-{i}', self.addr(i), '-tag', f'rpc=server{i}:9091', *options, **more)
        self.procs.append(n)
        return n

    def agent(self, i, *options, **more):
        a = Agent(f'agent-{i}', self.addr(i), *options, **more)
        self.procs.append(a)
        return a

    def all_alive(self, peers):
        names = {p.name for p in peers}
        return all(names == {n for n, m in p.members().items() if m[0] == 'alive'} for p in peers)

    def assert_calm(self, agent):
        """A stock agent found nothing wrong with what we sent."""
        bad = [line for line in agent.output().splitlines() if re.search(r'\[(ERR|WARN)\]', line)
               and 'refute' not in line and 'no matching tag' not in line
               and 'agent.ipc' not in line]  # its own client hung up
        self.assertEqual(bad, [])

    def meet(self, options_ours, options_theirs):
        first = self.node(0, *options_ours)
        joined_by = self.agent(1, '-join', first.addr, *options_theirs)  # theirs joins ours
        joiner = self.node(2, '-join', joined_by.addr, *options_ours)    # ours joins theirs
        more = [self.node(3, '-join', first.addr, *options_ours), self.agent(4, '-join', joiner.addr, *options_theirs),
                self.agent(5, '-join', first.addr, *options_theirs)]
        peers = [first, joined_by, joiner] + more
        took = wait_for('all six see each other', lambda: self.all_alive(peers))
        print(f'three of ours and three stock agents met after {took:.2f} s')
        return peers

    def check_calm_cluster(self, peers):
        ours, theirs = [p for p in peers if isinstance(p, Node)], [p for p in peers if isinstance(p, Agent)]
        for agent in theirs:
            self.assertEqual(agent.members()['node-2'][2], {'cluster': CLUSTER, 'rpc': 'server2:9091'})
        for node in ours:
            self.assertEqual(node.members()['agent-1'][2], {'cluster': CLUSTER, 'role': 'observer'})
        ours[0].say('tag rpc=elsewhere:1')
        wait_for('the new tag is seen', lambda: theirs[1].members()['node-0'][2].get('rpc') == 'elsewhere:1')
        reach = theirs[0].serf('reachability')
        self.assertIn('Successfully contacted all live nodes', reach.stdout)
        self.assertEqual(theirs[0].serf('event', 'hello', 'payload').returncode, 0)
        for agent in theirs[1:]:
            wait_for('the event passed through', lambda: 'hello' in agent.output())
        for peer in ours:
            self.assertRegex(peer.ask('stats')[0], 'bad_datagrams=0 bad_streams=0 .* refused=0')
        for agent in theirs:
            self.assert_calm(agent)

    def check_deaths(self, peers):
        ours, theirs = [p for p in peers if isinstance(p, Node)], [p for p in peers if isinstance(p, Agent)]
        ours[1].kill()
        took = wait_for('stock agents see ours failed', lambda: theirs[0].status('node-2') == 'failed', 20)
        print(f'stock agents declared ours failed after {took:.1f} s')
        theirs[1].kill()
        took = wait_for('ours see the stock agent failed', lambda: ours[0].status('agent-4') == 'failed', 20)
        print(f'ours declared a stock agent failed after {took:.1f} s')
        back = self.node(2, '-join', ours[0].addr, *self.options)
        took = wait_for('back after a crash', lambda: theirs[0].status('node-2') == 'alive'
                        and ours[2].status('node-2') == 'alive')
        print(f'back {took:.2f} s after the restart')
        back.say('leave')
        wait_for('the leave is complete', lambda: any('leave-done' in e for e in back.events), 20)
        wait_for('stock agents see ours left', lambda: theirs[0].status('node-2') == 'left')
        self.assertEqual(theirs[2].serf('leave').returncode, 0)
        wait_for('ours see the stock agent left', lambda: ours[0].status('agent-5') == 'left', 20)

    def test_plain(self):
        self.options = ()
        peers = self.meet((), ())
        self.check_calm_cluster(peers)
        self.check_deaths(peers)

    def test_encrypted(self):
        self.options = ('-key', KEY)
        peers = self.meet(('-key', KEY), ('-encrypt', KEY))
        self.check_calm_cluster(peers)
        agent = peers[1]
        # A query's answers are single datagrams, which may be lost: the operator asks again.
        for command in (['-install', KEY2], ['-use', KEY2], ['-remove', KEY]):
            for _ in range(3):
                done = agent.serf('keys', *command)
                if 'Successfully' in done.stdout + done.stderr:
                    break
            self.assertIn('Successfully', done.stdout + done.stderr, done)
        for _ in range(3):
            listed = agent.serf('keys', '-list').stdout
            if '[6/6]' in listed:
                break
        self.assertRegex(listed, re.escape(KEY2) + r' +\[6/6\]')
        self.assertNotIn(KEY + ' ', listed)
        time.sleep(2)
        self.assertTrue(self.all_alive(peers), 'a rotation lost nobody')

    def test_uncompressed_agents_and_short_pause(self):
        first = self.node(0)
        agent = self.agent(1, '-join', first.addr, '-disable-compression')
        third = self.node(2, '-join', first.addr)
        wait_for('all three', lambda: self.all_alive([first, agent, third]))
        os.kill(third.process.pid, signal.SIGSTOP)
        time.sleep(4)
        os.kill(third.process.pid, signal.SIGCONT)
        time.sleep(4)
        self.assertEqual(agent.status('node-2'), 'alive')
        self.assertNotIn('EventMemberFailed', agent.output())
        self.assertFalse([e for e in first.events + third.events if e.startswith('event failed')])

    def test_wrong_key_and_wrong_cluster_stay_out(self):
        first = self.node(0, '-key', KEY)
        agent = self.agent(1, '-encrypt', KEY2)
        agent.serf('join', first.addr)
        other = self.node(2, '-key', KEY, '-join', first.addr, cluster='11111111-1879-4f40-87e2-4080c04d3096')
        stranger = self.agent(3, '-encrypt', KEY, tags=('cluster=22222222-1879-4f40-87e2-4080c04d3096',))
        stranger.serf('join', first.addr)
        time.sleep(3)
        self.assertEqual(set(first.members()), {'node-0'})
        self.assertEqual(set(other.members()), {'node-2'})
        self.assertTrue(any('refused' in e and 'another cluster' in e for e in first.events), first.events)
        self.assertTrue(any('join-failed' in e and 'refused' in e for e in other.events), other.events)
        self.assertTrue(any('refused' in e and 'no installed keys' in e for e in first.events), first.events)

    def test_another_address_after_a_leave_and_after_a_crash(self):
        first = self.node(0)
        agent = self.agent(1, '-join', first.addr)
        moving = self.node(2, '-join', first.addr)
        wait_for('met', lambda: self.all_alive([first, agent, moving]))
        moving.say('leave')
        wait_for('left', lambda: agent.status('node-2') == 'left')
        moving.quit()
        moved = Node('node-2', self.addr(3), '-join', first.addr)
        self.procs.append(moved)
        took = wait_for('back at another address', lambda: agent.members()['node-2'][:2] == ('alive', moved.addr))
        print(f'a stock agent takes the new address {took:.2f} s after a leave')
        moved.kill()
        again = Node('node-2', self.addr(4), '-join', first.addr)
        self.procs.append(again)
        took = wait_for('back at a third one', lambda: first.members()['node-2'][:2] == ('alive', again.addr))
        print(f'ours take the new address {took:.2f} s after a crash')
        took = wait_for('also at the agent', lambda: agent.members()['node-2'][:2] == ('alive', again.addr), 45)
        print(f'a stock agent takes it after {took:.2f} s')

    def test_a_spurious_conflict_does_not_kill_the_agent(self):
        """Its peers vote about its name; silent ones would make it quit."""
        first = self.node(0)
        agent = self.agent(1, '-join', first.addr)
        self.node(2, '-join', first.addr)
        wait_for('met', lambda: agent.status('node-2') == 'alive' and first.status('agent-1') == 'alive')
        host, port = agent.addr.rsplit(':', 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(alive('agent-1', self.addr(3)), (host, int(port)))
        wait_for('the agent asked who it is', lambda: '_serf_conflict' in agent.output())
        time.sleep(5)
        self.assertIsNone(agent.process.poll(), 'the stock agent has quit')
        self.assertIn('majority in name conflict resolution', agent.output())

    def test_what_kills_a_stock_agent_does_not_kill_ours(self):
        first = self.node(0)
        second = self.node(1, '-join', first.addr)
        wait_for('met', lambda: self.all_alive([first, second]))
        host, port = first.addr.rsplit(':', 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for bad in (b'', b'\x07\x01\x00\x00', b'\x0c\x00\x00\x00\x00', b'\x07\xff', b'\x09\x81', b'\x08'):
                s.sendto(bad, (host, int(port)))
            for n in range(2000):
                s.sendto(random.randbytes(random.randrange(1, 1400)), (host, int(port)))
        for bad in (b'\x06\xff', b'\x0a\xff\xff\xff\xff', random.randbytes(5000), b''):
            with socket.create_connection((host, int(port)), timeout=5) as c:
                c.sendall(bad)
        time.sleep(3)
        self.assertTrue(self.all_alive([first, second]))


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
