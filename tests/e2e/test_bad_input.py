#!/usr/bin/env python3
"""What bad input gets, from real processes: one clear message that names the place.

usage: test_bad_input.py DEBUG_BUILD [RELEASE_BUILD]
"""
import pathlib
import re
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster, Sink, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
ALERT = "stream|from().measurement('m')|alert().crit(lambda: \"v\" > 10).id('{{ .Name }}').topic('t')"


class WithCluster(unittest.TestCase):
    names, config = ('serverA',), ''

    def setUp(self):
        self.cluster = Cluster(BUILD, self.names, self.config)
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.members = self.cluster.members


class Configuration(WithCluster):
    def run_config(self, *args):
        return subprocess.run([BUILD / 'cmd/kapacitord', *args], capture_output=True, text=True, timeout=20)

    def test_a_value_of_a_wrong_type_stops_the_start_and_names_file_line_and_key(self):
        config = self.members[0].config
        config.write_text(config.read_text().replace('log-enabled = false', 'log-enabled = "no"'))
        done = self.run_config('-config', config)
        self.assertNotEqual(done.returncode, 0)
        line = 1 + config.read_text().split('log-enabled')[0].count('\n')
        self.assertRegex(done.stderr, rf'{re.escape(str(config))}:{line}.*log-enabled')

    def test_an_unknown_key_is_a_warning_with_place_and_hint(self):
        config = self.members[0].config
        config.write_text(config.read_text().replace('[rpc]', '[alert]\n  persist-topic = true\n\n[rpc]', 1))
        line = 1 + config.read_text().split('persist-topic')[0].count('\n')
        self.members[0].start()
        warning = next(ln for ln in self.members[0].log.read_text().splitlines() if 'persist-topic' in ln)
        self.assertIn('lvl=warn', warning)
        self.assertIn(f'{config}:{line}', warning)
        self.assertIn('persist-topics', warning)
        strict = self.run_config('config', '-config', config, '-strict')
        self.assertNotEqual(strict.returncode, 0)
        self.assertIn('persist-topic', strict.stderr)

    def test_a_broken_file_names_line_and_column(self):
        config = self.members[0].config
        config.write_text('hostname = "a"\n[http\n')
        done = self.run_config('-config', config)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, rf'{re.escape(str(config))}:2')

    def test_a_port_in_use_is_named(self):
        member = self.members[0]
        for port, kind in ((member.http, 'http'), (member.rpc, 'rpc'), (member.gossip, 'cluster')):
            with self.subTest(kind), socket.socket() as holder:
                holder.bind(('127.0.0.1', port))
                holder.listen()
                done = self.run_config('-config', member.config)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f'127.0.0.1:{port}', done.stderr + member.tail())
                self.assertIn('address already in use', (done.stderr + member.tail()).lower())


class Membership(WithCluster):
    names = ('serverA', 'serverB', 'serverC', 'serverD')

    def test_members(self):
        a, b, c, d = self.cluster.start().members
        code, text = a.client('kapacitor-ctl', 'member', 'add', 'no-such-host.invalid:9091', check=False)
        self.assertNotEqual(code, 0)
        self.assertIn('no-such-host.invalid', text)
        code, text = a.client('kapacitor-ctl', 'member', 'add', 'nonsense', check=False)
        self.assertNotEqual(code, 0)
        self.assertIn('nonsense', text)

        a.client('kapacitor-ctl', 'member', 'add', b.rpc_address)
        c.client('kapacitor-ctl', 'member', 'add', d.rpc_address)
        code, text = a.client('kapacitor-ctl', 'member', 'add', d.rpc_address, check=False)
        self.assertNotEqual(code, 0)
        self.assertIn('belongs to cluster', text)
        self.assertIn('member remove', text)
        self.assertEqual([len(m.cluster()['members']) for m in (a, b, c, d)], [2, 2, 2, 2])
        self.assertNotEqual(a.cluster()['cluster-id'], d.cluster()['cluster-id'])

        unknown = '00000000-0000-4000-8000-000000000000'
        code, text = a.client('kapacitor-ctl', 'member', 'remove', unknown, check=False)
        self.assertNotEqual(code, 0)
        self.assertIn(unknown, text)


class Input(WithCluster):
    config = '[alert]\n  persist-topics = true\n'

    def setUp(self):
        super().setUp()
        self.member = self.cluster.start().members[0]

    def define(self, script, *args, check=False):
        file = self.cluster.folder / 'script.tick'
        file.write_text(script)
        return self.member.client('kapacitor', 'define', 't', '-tick', str(file), *args, check=check)

    def test_a_syntax_error_has_line_and_column(self):
        code, text = self.define("stream\n    |from()\n        .measurement('cpu'\n", '-type', 'stream', '-dbrp', 'a.b')
        self.assertNotEqual(code, 0)
        self.assertRegex(text, r'line \d+ char \d+')

    def test_a_task_without_database_is_refused(self):
        code, text = self.define("stream|from().measurement('cpu')", '-type', 'stream')
        self.assertNotEqual(code, 0)
        self.assertIn('dbrp', text.lower())

    def test_a_malformed_line_refuses_the_request_and_is_named(self):
        status, text = self.member.request('POST', '/kapacitor/v1/write?db=d&rp=r', 'm v=1 1\nm v=\nm v=2 2\n')
        self.assertEqual(status, 400)
        self.assertIn("unable to parse 'm v='", text)

    def test_an_oversized_body_is_refused(self):
        body = b'm v=1 1\n' * (40 << 17)
        status, text = self.member.request('POST', '/kapacitor/v1/tasks', body, timeout=60)
        self.assertEqual(status, 413)
        self.assertIn('error', text)
        self.assertEqual(self.member.request('GET', '/kapacitor/v1/ping')[0], 204)

    def test_an_endpoint_that_is_down_is_tried_again_and_nothing_is_lost(self):
        sink = Sink()
        self.addCleanup(sink.close)
        sink.status = 503
        self.define(ALERT, '-type', 'stream', '-dbrp', 'd.r', check=True)
        self.member.client('kapacitor', 'enable', 't')
        handler = self.cluster.folder / 'h.json'
        handler.write_text('{"id": "h", "topic": "t", "kind": "post", "options": {"url": "%s"}}' % sink.url)
        self.member.client('kapacitor', 'define-topic-handler', str(handler))
        for second in range(1, 6):
            self.member.write(f'm v={20 if second % 2 else 1} {second}', 'd', 'r', 's')
        wait_for('a failed attempt is in the log',
                 lambda: re.search(r'lvl=warn .*service=.*handler', self.member.log.read_text()))
        log = next(ln for ln in self.member.log.read_text().splitlines() if 'lvl=warn' in ln and '503' in ln)
        self.assertIn('topic=t', log)
        self.assertIn('handler=h', log)
        stats = self.member.request('GET', '/kapacitor/v1/debug/vars')[1]
        self.assertRegex(stats, r'"retries":\s*[1-9]')
        self.assertEqual(sink.all(), [])
        sink.status = 200
        wait_for('all five arrive', lambda: len(sink.all()) == 5, 40)
        time.sleep(1)
        self.assertEqual([d.event['level'] for d in sink.all()], ['CRITICAL', 'OK'] * 2 + ['CRITICAL'])


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
