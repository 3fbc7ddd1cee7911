// A model's file that one site alone has, placed on three: would catch a file that is not sent, one
// that comes changed or is run before it is whole, a model that is not offered once it is there, and
// a site that cannot answer with what it was sent.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startFleet } from './fleet.mjs';
import { until } from './site.mjs';

const { NOROSHI_BIN, NOROSHI_MODEL } = process.env;
const skip = NOROSHI_BIN ? false : 'NOROSHI_URL: one site, no fleet';
let up, folder, donor, donorEnded;
const extra = () => join(folder, 'extra.gguf');
const hashOf = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

before(async () => {
  if (skip) return;
  folder = mkdtempSync(join(tmpdir(), 'noroshi-models-'));
  const made = spawnSync(NOROSHI_BIN, ['model', 'make', '--preset', 'tiny', '--seed', '7', '--out', extra()]);
  assert.equal(made.status, 0, String(made.stderr));
  up = await startFleet('--no-cells');
  // A third site, which has the file beside its own model. JSON is YAML.
  const config = join(folder, 'site3.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      site: { name: 'site3' },
      cell: {
        name: 'cell3',
        bandwidth_mhz: 5,
        subcarrier_spacing_khz: 15,
        start: false,
        handsets: [{ profile: 'awgn', snr_db: 25 }],
      },
      ai: {
        engine: { model_path: NOROSHI_MODEL, model_name: up.model, threads: 1, split: false },
        gateway: { port: 0 },
      },
      fleet: {
        urls: [JSON.parse(readFileSync(join(up.folder, 'fleet.json'), 'utf8')).url],
        region: 'east',
        models: [{ name: 'extra', path: extra() }],
      },
    }),
  );
  donor = spawn(NOROSHI_BIN, ['site', '--config', config, '--duration', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  donorEnded = new Promise((resolve) => donor.once('exit', (code, signal) => resolve(code ?? signal)));
  process.once('exit', () => donor.kill('SIGKILL'));
  createInterface({ input: donor.stdout }).on('line', () => {});
});

test('a file that one site has comes to those that are to run it', { skip }, async () => {
  const names = ['site1', 'site2', 'site3'];
  await until('all sites are ready', () => names.every((n) => up.site(n)?.state === 'ready'), 120_000);
  await until('it can be placed', () => up.fleet('place', 'extra', '--copies', '3').code === 0);
  await until('three copies run', () => {
    const model = up.fleet('models').json?.models.find((m) => m.name === 'extra');
    return model?.copies === 3;
  }, 120_000);
  for (const name of ['site1', 'site2']) {
    const sent = join(up.folder, `${name}-models`);
    const files = readdirSync(sent);
    assert.equal(files.length, 1, `nothing half is left: ${files}`);
    assert.equal(hashOf(join(sent, files[0])), hashOf(extra()));
  }
});

test('sites answer with what they were sent, also without the one that sent it', { skip }, async () => {
  donor.kill('SIGTERM');
  assert.equal(await donorEnded, 0);
  await until('the others answer', async () => {
    const answer = await up.ask({ model: 'extra' });
    return answer.status === 200 && /^site[12]$/.test(answer.site);
  });
  // What they answered with, they measured: prompts of `tiny` and `extra` alike.
  await until('its speed is told', () => {
    const models = ['site1', 'site2'].flatMap((n) => up.site(n)?.models ?? []);
    return models.some((m) => m.name === 'extra' && m.tokens_per_s > 0);
  });
  const unknown = await up.ask({ model: 'nothing' });
  assert.equal(unknown.status, 404);
});

after(async () => {
  if (skip) return;
  donor?.kill('SIGKILL');
  if (up) assert.equal(await up.stop(), 0);
  rmSync(folder, { recursive: true, force: true });
});
