// A whole fleet on one machine, as a person starts it: would catch a site that does not join, a
// request that fails because a site was killed, a command that is not carried out, a process that
// outlives the fleet, an answer that is not metered.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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

after(async () => {
  if (!up) return;
  assert.equal(await up.stop(), 0);
  for (const [name, pid] of Object.entries(up.pids)) {
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, `${name} is gone`);
  }
});
