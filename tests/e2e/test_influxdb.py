#!/usr/bin/env python3
"""InfluxDB 1.6 itself, not a fake: points are written into it, queried by a live batch task and by recordings, and
results are written back and read again.

usage: test_influxdb.py DEBUG_BUILD [RELEASE_BUILD]

Loopback only; everything lives below one temporary folder.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Failed, Member, free_ports, wait_for  # noqa: E402

INFLUXD = '/usr/bin/influxd'
START = 1577836800  # 2020-01-01T00:00:00Z


class InfluxDB:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / 'influxdb'
        self.folder.mkdir()
        self.http, self.rpc = free_ports(2)
        self.url = f'http://127.0.0.1:{self.http}'
        (self.folder / 'influxdb.conf').write_text(f'''reporting-disabled = true
bind-address = "127.0.0.1:{self.rpc}"
[meta]
  dir = "{self.folder}/meta"
[data]
  dir = "{self.folder}/data"
  wal-dir = "{self.folder}/wal"
  index-version = "inmem"
[http]
  bind-address = "127.0.0.1:{self.http}"
  log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
''')

    def start(self):
        log = open(self.folder / 'influxd.log', 'ab')
        self.process = subprocess.Popen([INFLUXD, '-config', self.folder / 'influxdb.conf'],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        wait_for('InfluxDB answers', self.answers, 30)

    def answers(self):
        try:
            return urllib.request.urlopen(self.url + '/ping', timeout=2).status == 204
        except OSError:
            return False

    def query(self, text, db='d'):
        params = urllib.parse.urlencode({'q': text, 'db': db})
        with urllib.request.urlopen(f'{self.url}/query?{params}', data=b'', timeout=10) as answer:
            return json.load(answer)['results'][0].get('series', [])

    def write(self, lines):
        urllib.request.urlopen(f'{self.url}/write?db=d&precision=s', data='\n'.join(lines).encode(), timeout=10)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def call(member, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f'{member.url}/kapacitor/v1{path}', data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise Failed(f'{method} {path}: {error.code} {error.read().decode()}') from None


def define(member, name, script, kind='batch', status='enabled'):
    call(member, 'POST', '/tasks', {'id': name, 'type': kind, 'status': status, 'script': script,
                                    'dbrps': [{'db': 'd', 'rp': 'autogen'}]})


def expect(what, got, want):
    if got != want:
        raise Failed(f'{what}:\n  got  {got}\n  want {want}')
    print(f'ok: {what}')


def ended(member, path):
    def look():
        status, state = call(member, 'GET', path)
        return state if status == 200 else None
    state = wait_for(f'{path} ends', look)
    if state['status'] != 'finished':
        raise Failed(f"{path}: {state['error']}")
    return state


def rows(series):
    return [[(s.get('tags') or {}).get('host', ''), row[1]] for s in series for row in s['values']]


def live_batch(influx, member):
    """A task that queries now and writes what it finds back."""
    now = int(time.time())
    influx.write([f'cpu,host=a v={i} {now - 5 + i}' for i in range(5)] + [f'cpu,host=b v=7 {now - 3}'])
    define(member, 'live', '''batch
    |query('SELECT max(v) AS v FROM "d"."autogen"."cpu"')
        .period(1m)
        .every(1s)
        .groupBy('host')
    |influxDBOut()
        .database('out')
        .measurement('found')
        .create()
''')
    found = wait_for('results of the live task', lambda: rows(influx.query(
        'SELECT last(v) FROM found GROUP BY host', 'out')), 20)
    expect('a live batch task writes back what it queried', found, [['a', 4], ['b', 7]])
    _, task = call(member, 'GET', '/tasks/live')
    if task['stats']['node-stats']['query1']['batches_queried'] < 2:
        raise Failed('batches are not counted')
    call(member, 'DELETE', '/tasks/live')


def past(influx, member, write_count):
    """Many rows, so that InfluxDB answers in chunks; recorded, replayed twice."""
    influx.write([f'load,host=a v={i},s="x{i}",b=true,n={i}i {START + i}' for i in range(write_count)])
    define(member, 'past', '''batch
    |query('SELECT v FROM "d"."autogen"."load"')
        .period(12h)
        .every(12h)
        .groupBy('host')
    |count('v')
    |influxDBOut()
        .database('out')
        .measurement('counted')
        .create()
''', status='disabled')
    call(member, 'POST', '/recordings/batch', {'id': 'rec', 'task': 'past', 'start': '2019-12-31T12:00:00Z',
                                               'stop': '2020-01-01T12:00:00Z'})
    state = ended(member, '/recordings/rec')
    if state['size'] < 1000:
        raise Failed(f'the recording has {state["size"]} bytes')
    for replay in 'one', 'two':
        call(member, 'POST', '/replays', {'id': replay, 'task': 'past', 'recording': 'rec', 'recording-time': True})
        ended(member, f'/replays/{replay}')
    found = wait_for('what the replay wrote', lambda: influx.query('SELECT count FROM counted', 'out'))
    expect('a series in chunks is one batch', found[0]['values'], [['2020-01-01T12:00:00Z', write_count]])


def stream_query(influx, member):
    """A query's answer through a stream task."""
    define(member, 'stream', '''stream
    |from()
        .measurement('load')
        .groupBy('host')
    |window()
        .period(1h)
        .every(1h)
        .align()
    |sum('v')
    |influxDBOut()
        .database('out')
        .measurement('summed')
        .create()
''', 'stream', 'disabled')
    call(member, 'POST', '/replays/query', {
        'id': 'live-query', 'task': 'stream', 'recording-time': True,
        'query': 'SELECT v FROM "d"."autogen"."load" WHERE time < \'2020-01-01T02:00:00Z\' GROUP BY host'})
    ended(member, '/replays/live-query')
    found = wait_for('sums', lambda: rows(influx.query('SELECT sum FROM summed GROUP BY host', 'out')))
    expect('a query is replayed into a stream task', found, [['a', sum(range(3600))]])


def mistakes(influx, member):
    """InfluxDB's own words."""
    for query, words in (('SELECT nope( FROM "d"."autogen"."load"', 'found FROM'),
                         ('SELECT nosuch(v) FROM "d"."autogen"."load"', 'undefined function nosuch()')):
        call(member, 'POST', '/recordings/query', {'id': 'bad', 'type': 'stream', 'query': query})
        state = wait_for('the recording fails', lambda: (lambda s: s if s['status'] == 'failed' else None)(
            call(member, 'GET', '/recordings/bad')[1]))
        if words not in state['error']:
            raise Failed(f'{query}: {state["error"]}')
        call(member, 'DELETE', '/recordings/bad')
    print('ok: mistakes are told in the words of InfluxDB')


def main():
    folder = tempfile.mkdtemp(prefix='kap-influxdb-')
    influx, member = InfluxDB(folder), None
    try:
        influx.start()
        influx.query('CREATE DATABASE d')
        member = Member(sys.argv[1], folder, 'one')
        text = member.config.read_text()
        member.config.write_text(text.replace('enabled = false\n  default = true\n  name = "default"',
                                              f'enabled = true\n  default = true\n  name = "default"\n'
                                              f'  urls = ["{influx.url}"]\n  disable-subscriptions = true'))
        member.start()
        live_batch(influx, member)
        past(influx, member, 25000)
        stream_query(influx, member)
        mistakes(influx, member)
    except Failed as failure:
        print(f'FAILED: {failure}')
        if member and member.log.exists():
            print(member.log.read_text()[-3000:])
        return 1
    finally:
        if member and member.process:
            member.process.terminate()
            member.process.wait(20)
        influx.stop()
        shutil.rmtree(folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
