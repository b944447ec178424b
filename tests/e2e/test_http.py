#!/usr/bin/env python3
"""The HTTP server under clients that behave badly, and the services around it, from a real process.

usage: test_http.py DEBUG_BUILD [RELEASE_BUILD]
"""
import json
import pathlib
import re
import resource
import signal
import socket
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster, Sink, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
PING = b'GET /kapacitor/v1/ping HTTP/1.1\r\nHost: a\r\n\r\n'


class WithServer(unittest.TestCase):
    config = '[stats]\n  stats-interval = "100ms"\n'

    def setUp(self):
        self.cluster = Cluster(BUILD, ('serverA',), self.config)
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.server = self.cluster.members[0]
        self.server.start()

    def connect(self):
        s = socket.create_connection(('127.0.0.1', self.server.http), timeout=10)
        self.addCleanup(s.close)
        return s

    def answer(self, s):
        """One answer: status and body."""
        data = b''
        while b'\r\n\r\n' not in data:
            piece = s.recv(65536)
            if not piece:
                return (int(data.split()[1]) if data else 0), b''
            data += piece
        head, body = data.split(b'\r\n\r\n', 1)
        length = re.search(rb'(?i)content-length: (\d+)', head)
        want = int(length[1]) if length else 0
        while len(body) < want:
            body += s.recv(65536)
        return int(head.split()[1]), body

    def resident(self):
        return int(pathlib.Path(f'/proc/{self.server.process.pid}/statm').read_text().split()[1]) * 4096


class Senders(WithServer):
    def test_a_slow_sender_holds_up_nobody(self):
        slow = self.connect()
        body = b'm,h=a v=1 1\n'
        slow.sendall(b'POST /write?db=d&rp=r HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n' % len(body))
        for i in range(len(body)):
            slow.sendall(body[i:i + 1])
            started = time.monotonic()
            self.assertEqual(self.server.request('GET', '/kapacitor/v1/ping')[0], 204)
            self.assertLess(time.monotonic() - started, 2)
        self.assertEqual(self.answer(slow)[0], 204)

    def test_a_half_closed_socket_gets_its_answer(self):
        s = self.connect()
        s.sendall(PING)
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(self.answer(s)[0], 204)

    def test_requests_that_break_off_cost_little(self):
        """Their sockets go at the latest with the idle timeout; until then they must not cost memory or answers."""
        before = self.resident()
        for i in range(400):
            with socket.create_connection(('127.0.0.1', self.server.http)) as s:
                s.sendall(b'POST /write?db=d HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nm v='[:20 + i % 80])
        self.assertEqual(self.server.request('GET', '/kapacitor/v1/ping')[0], 204)
        self.assertLess(self.resident() - before, 64 << 20)

    def test_pipelined_requests_are_answered_in_order(self):
        s = self.connect()
        s.sendall(PING * 20 + b'GET /kapacitor/v1/nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
        data = b''
        while piece := s.recv(65536):
            data += piece
        self.assertEqual([int(x) for x in re.findall(rb'HTTP/1.1 (\d+)', data)], [204] * 20 + [404])

    def test_chunked_bodies(self):
        s = self.connect()
        s.sendall(b'POST /write?db=d&rp=r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
                  b'4\r\nm,h=\r\n8\r\na v=1 1\n\r\n0\r\n\r\n')
        self.assertEqual(self.answer(s)[0], 204)
        s = self.connect()
        s.sendall(b'POST /write?db=d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n')
        self.assertIn(self.answer(s)[0], (0, 400))
        self.assertEqual(self.server.request('GET', '/kapacitor/v1/ping')[0], 204)


class Texts(WithServer):
    def test_invalid_utf8_is_an_error_or_harmless(self):
        status, _ = self.server.request('POST', '/kapacitor/v1/tasks', b'{"id":"\xff","script":"\xfe"}')
        self.assertEqual(status, 400)
        status, body = self.server.request('GET', '/kapacitor/v1/tasks/%ff%00%fe')
        self.assertEqual(status, 404)
        json.loads(body)

    def test_a_path_does_not_lead_out(self):
        for path in ('/../../../etc/passwd', '/kapacitor/v1/../../etc/passwd', '/kapacitor/v1/%2e%2e/%2e%2e/etc/passwd',
                     '/kapacitor/v1/recordings/..%2f..%2fetc%2fpasswd', '/kapacitor/v1/storage/stores/../../x'):
            status, body = self.server.request('GET', path)
            self.assertNotIn('root:', body)
            self.assertNotEqual(status, 200, path)

    def test_huge_headers_and_bodies_are_refused(self):
        s = self.connect()
        s.sendall(b'GET /kapacitor/v1/ping HTTP/1.1\r\nHost: a\r\n')
        try:
            for _ in range(200):
                s.sendall(b'X-A: ' + b'a' * 8000 + b'\r\n')
            s.sendall(b'\r\n')
        except OSError:
            pass
        try:
            self.assertIn(self.answer(s)[0], (0, 413, 414, 431, 400))
        except OSError:
            pass
        self.assertEqual(self.server.request('GET', '/kapacitor/v1/ping')[0], 204)


class Many(WithServer):
    def test_two_thousand_connections_and_no_leak(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(2000, hard - 200)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
        sizes = []
        for _ in range(3):
            sockets = [socket.create_connection(('127.0.0.1', self.server.http), timeout=30) for _ in range(count)]
            for s in sockets:
                s.sendall(PING)
            self.assertEqual([self.answer(s)[0] for s in sockets], [204] * count)
            for s in sockets:
                s.close()
            fds = pathlib.Path(f'/proc/{self.server.process.pid}/fd')
            wait_for('all are closed', lambda: len(list(fds.iterdir())) < 150, 20)
            sizes.append(self.resident())
        self.assertLess(sizes[2] - sizes[1], 24 << 20, sizes)


class Services(WithServer):
    config = WithServer.config + '[[slack]]\n  enabled = true\n  url = "http://127.0.0.1:1/old"\n'

    def test_an_override_is_used_by_the_next_test_and_kept_over_a_restart(self):
        sink = Sink()
        self.addCleanup(sink.close)
        path = '/kapacitor/v1/service-tests/slack'
        self.assertFalse(json.loads(self.server.request('POST', path, {'channel': '#c'})[1])['success'])
        self.server.post('/config/slack/', {'set': {'url': sink.url}})
        got = json.loads(self.server.request('POST', path, {'channel': '#c', 'message': 'hello'})[1])
        self.assertEqual(got, {'success': True, 'message': ''})
        self.server.stop()
        self.server.start()
        shown = self.server.get('/config/slack/')
        self.assertIs(shown['options']['url'], True)
        self.assertTrue(json.loads(self.server.request('POST', path, {})[1])['success'])
        code, out = self.server.client('kapacitor', 'service-tests', 'sla*')
        self.assertRegex(out, r'(?m)^slack +true')

    def test_the_server_watches_itself(self):
        self.server.post('/tasks', {'id': 'self', 'status': 'enabled', 'dbrps': [{'db': '_kapacitor', 'rp': 'autogen'}],
                                    'script': "stream|from().measurement('kapacitor')|httpOut('x')"})
        series = wait_for('statistics arrive', lambda: self.server.get('/tasks/self/x')['series'])
        self.assertEqual(series[0]['columns'], ['time', 'num_enabled_tasks', 'num_subscriptions', 'num_tasks'])
        self.assertEqual(series[0]['values'][0][1:], [1, 0, 1])

    def test_metrics_are_grouped_and_well_formed(self):
        status, text = self.server.request('GET', '/metrics')
        self.assertEqual(status, 200)
        names = []
        for line in text.splitlines():
            self.assertRegex(line, r'^[a-z_0-9A-Z]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? -?\d+$')
            name = re.split(r'[{ ]', line)[0]
            if not names or names[-1] != name:
                names.append(name)
        self.assertEqual(len(names), len(set(names)))
        self.assertIn('kapacitor_httpd_req', names)

    def test_a_backup_is_a_database_with_the_definitions(self):
        self.server.post('/tasks', {'id': 'kept', 'dbrps': [{'db': 'd', 'rp': 'r'}], 'script': 'stream|from()'})
        target = self.server.folder / 'backup.db'
        self.server.client('kapacitor', 'backup', str(target))
        self.assertEqual(target.stat().st_mode & 0o777, 0o600)
        db = sqlite3.connect(target)
        self.addCleanup(db.close)
        self.assertIn('kept', '\n'.join(db.iterdump()))

    def test_the_load_directory_is_read_again_at_sighup(self):
        folder = self.server.folder / 'load/tasks'
        folder.mkdir(parents=True)
        self.server.stop()
        config = self.server.config.read_text().replace('[load]\n  enabled = false',
                                                        f'[load]\n  enabled = true\n  dir = "{folder.parent}"')
        self.server.config.write_text(config)
        self.server.start()
        (folder / 'a.tick').write_text('dbrp "d"."r"\nstream|from()')
        self.server.process.send_signal(signal.SIGHUP)
        ids = lambda: [t['id'] for t in self.server.get('/tasks?fields=status')['tasks']]  # noqa: E731
        wait_for('the task is there', lambda: ids() == ['a'])
        (folder / 'a.tick').unlink()
        self.server.process.send_signal(signal.SIGHUP)
        wait_for('the task is gone', lambda: ids() == [])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
