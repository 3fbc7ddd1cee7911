// A whole fleet on one machine, as a person starts it: would catch a site that does not join, a
// request that fails because a site was killed, a command that is not carried out, a process that
// outlives the fleet, an answer that is not metered, a second fleet in its folder, a part that cannot
// start and is tried for ever.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startFleet } from './fleet.mjs';
import { until } from './site.mjs';

const { NOROSHI_BIN } = process.env;
const skip = NOROSHI_BIN ? false : 'NOROSHI_URL: one site, no fleet';
let up;
const fleet = (...args) => up.fleet(...args);
const site = (name) => up.site(name);
const ask = (stream) => up.ask({ stream });

before(async () => {
  if (!skip) up = await startFleet('--secure', '--no-cells');
});

test('sites join with keys and TLS, and answer', { skip }, async () => {
  await until('both sites are ready', () => ['site1', 'site2'].every((n) => site(n)?.state === 'ready'));
  const answer = await ask(false);
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.site, /^site[12]$/);
});

// The gateway hears of the other region once a second.
async function digests() {
  return Number(/^noroshi_fleet_digests_total (\d+)/m.exec(await up.metrics())[1]);
}

test('a killed site fails no request and comes back', { skip }, async () => {
  const heard = await digests();
  await until('the gateway knows both', async () => (await digests()) >= heard + 4);
  const first = (await ask(false)).site;
  process.kill(up.pids[first], 'SIGKILL');
  for (let i = 0; i < 5; ++i) {
    const answer = await ask(i % 2 === 0);
    assert.equal(answer.status, 200, answer.text);
  }
  await until(`${first} is started again`, () => site(first)?.state === 'ready');
});

test('drain, place and what is wrong', { skip }, async () => {
  assert.equal(fleet('drain', 'site1').code, 0);
  await until('site1 drains', () => site('site1')?.state === 'draining');
  await until('the gateway goes to site2', async () => (await ask(false)).site === 'site2');
  assert.equal(fleet('undrain', 'site1').code, 0);
  assert.equal(fleet('place', up.model, '--copies', '2').code, 0);
  await until('two copies', () => fleet('models').json?.models[0]?.copies === 2);
  const nowhere = fleet('drain', 'nowhere');
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.json.message, /site 'nowhere': the fleet does not know it/);
  assert.match(fleet('place', 'no-such-model').json.message, /no site has a file of it/);
});

test('every answer is in the usage store', { skip }, async () => {
  await until('they are counted', () => {
    const out = spawnSync(NOROSHI_BIN, ['usage', '--db', join(up.folder, 'usage.db'), '--json'], { encoding: 'utf8' });
    return out.status === 0 && /"requests":\s*([1-9]\d*)/.test(out.stdout);
  });
});

// Runs a member with a key that is not its own until it has said what is wrong.
async function complaint(...args) {
  const keys = ['--nats', access().url, '--ca', access().ca, '--nkey', join(up.folder, 'keys', 'gateway-gateway.nk')];
  const child = spawn(NOROSHI_BIN, [...args, ...keys], { stdio: ['ignore', 'pipe', 'pipe'] });
  process.once('exit', () => child.kill('SIGKILL'));
  let out = '';
  let said = '';
  child.stdout.on('data', (bytes) => (out += bytes));
  child.stderr.on('data', (bytes) => (said += bytes));
  await until(`${args[0]} complains`, () => /not in the fleet: .*\n/.test(said));
  return { said, out: () => out, stop: () => child.kill() };
}
const access = () => JSON.parse(readFileSync(join(up.folder, 'fleet.json'), 'utf8'));

test('a member that its key does not let in says so', { skip }, async () => {
  const gateway = await complaint('gateway', '--id', 'other', '--port', '0');
  assert.match(gateway.said, /not in the fleet: .*ermissions [Vv]iolation.*look at .*--id/);
  assert.match(gateway.said, /without --usage nothing that is answered is metered/);
  const { url } = JSON.parse(gateway.out().split('\n')[0]);
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^noroshi_fleet_connected 0$/m);
  gateway.stop();
  assert.match(await up.metrics(), /^noroshi_fleet_connected 1$/m);
  for (const name of ['site1', 'site2', 'gateway', 'meter']) {
    const log = readFileSync(join(up.folder, `${name}.log`), 'utf8');
    assert.doesNotMatch(log, /ermissions [Vv]iolation/, `${name} has all the permissions that it uses`);
    if (name.startsWith('site')) assert.match(log, /"fleet":\{"connected":true,"error":""\}/);
  }
  const meter = await complaint('meter', '--db', join(up.folder, 'other.db'));
  assert.match(meter.said, /not in the fleet: .*ermissions [Vv]iolation.*look at .*--nkey/);
  meter.stop();
});

test('the folder is one fleet\'s', { skip }, async () => {
  const second = spawnSync(NOROSHI_BIN, ['up', '--folder', up.folder, '--port', '0'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(second.status, 1);
  assert.match(second.stderr, /another noroshi up runs in it/);
  assert.ok(second.stderr.includes(up.folder), second.stderr);
  assert.equal((await ask(false)).status, 200);
});

test('a part that cannot start ends the fleet and says why', { skip }, async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const folder = mkdtempSync(join(tmpdir(), 'noroshi-up-'));
  const port = String(taken.address().port);
  const args = ['up', '--sites', '1', '--no-cells', '--folder', folder, '--port', port, '--duration', '60'];
  const out = spawnSync(NOROSHI_BIN, args, { encoding: 'utf8' });
  taken.close();
  assert.equal(out.status, 1);
  assert.match(out.stderr, /gateway ended 5 times in a row right after its start: .*cannot listen on/);
  assert.ok(out.stderr.includes(join(folder, 'gateway.log')), out.stderr);
  rmSync(folder, { recursive: true, force: true });
});

after(async () => {
  if (!up) return;
  assert.equal(await up.stop(), 0);
  for (const [name, pid] of Object.entries(up.pids)) {
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, `${name} is gone`);
  }
});
