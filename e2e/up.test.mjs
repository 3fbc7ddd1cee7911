// A whole fleet on one machine, as a person starts it: would catch a site that does not join, a
// request that fails because a site was killed, a command that is not carried out, a process that
// outlives the fleet, an answer that is not metered.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from './site.mjs';

const { NOROSHI_BIN, NOROSHI_MODEL } = process.env;
const skip = NOROSHI_BIN ? false : 'NOROSHI_URL: one site, no fleet';
const folder = mkdtempSync(join(tmpdir(), 'noroshi-up-'));
let up;
let ended;

function fleet(...args) {
  const out = spawnSync(NOROSHI_BIN, ['fleet', ...args, '--folder', folder, '--json'], {
    encoding: 'utf8',
  });
  return { code: out.status, stderr: out.stderr, json: out.stdout ? JSON.parse(out.stdout) : null };
}

const site = (name) => fleet('sites').json?.sites.find((s) => s.name === name);

async function ask(stream) {
  const response = await fetch(`${up.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: up.model,
      messages: [{ role: 'user', content: 'hello' }],
      max_tokens: 4,
      stream,
    }),
  });
  return { status: response.status, site: response.headers.get('x-noroshi-site'), text: await response.text() };
}

before(async () => {
  if (skip) return;
  const child = spawn(
    NOROSHI_BIN,
    ['up', '--sites', '2', '--folder', folder, '--model', NOROSHI_MODEL, '--port', '0', '--secure', '--no-cells'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  process.once('exit', () => child.kill('SIGKILL'));
  up = await new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => resolve({ ...JSON.parse(line), child }));
  });
});

test('sites join with keys and TLS, and answer', { skip }, async () => {
  await until('both sites are ready', () => ['site1', 'site2'].every((n) => site(n)?.state === 'ready'));
  const answer = await ask(false);
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.site, /^site[12]$/);
});

// The gateway hears of the other region once a second.
async function digests() {
  const metrics = await (await fetch(`${up.url}/metrics`)).text();
  return Number(/^noroshi_fleet_digests_total (\d+)/m.exec(metrics)[1]);
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
  await until('two copies', () => fleet('models').json.models[0]?.copies === 2);
  const nowhere = fleet('drain', 'nowhere');
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.json.message, /site 'nowhere': the fleet does not know it/);
  assert.match(fleet('place', 'no-such-model').json.message, /no site has a file of it/);
});

test('every answer is in the usage store', { skip }, async () => {
  await until('they are counted', () => {
    const out = spawnSync(NOROSHI_BIN, ['usage', '--db', join(folder, 'usage.db'), '--json'], { encoding: 'utf8' });
    return out.status === 0 && /"requests":\s*([1-9]\d*)/.test(out.stdout);
  });
});

after(async () => {
  if (!up) return;
  up.child.kill('SIGINT');
  assert.equal(await ended, 0);
  for (const [name, pid] of Object.entries(up.pids)) {
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, `${name} is gone`);
  }
  rmSync(folder, { recursive: true, force: true });
});
