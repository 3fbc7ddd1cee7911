// A whole fleet under test, as a person starts it: `noroshi up`.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { NOROSHI_BIN, NOROSHI_MODEL } = process.env;

const listens = (child) => new Promise((resolve) => {
  createInterface({ input: child.stdout }).on('line', (line) => resolve(JSON.parse(line)));
});

// Returns {url, model, pids, folder, fleet(...args), site(name), ask(fields), door(id), stop()}.
export async function startFleet(...args) {
  const folder = mkdtempSync(join(tmpdir(), 'noroshi-up-'));
  const child = spawn(
    NOROSHI_BIN,
    ['up', '--sites', '2', '--folder', folder, '--model', NOROSHI_MODEL, '--port', '0', ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  process.once('exit', () => child.kill('SIGKILL'));
  const up = await listens(child);

  const fleet = (...command) => {
    const out = spawnSync(NOROSHI_BIN, ['fleet', ...command, '--folder', folder, '--json'], {
      encoding: 'utf8',
    });
    return { code: out.status ?? out.signal, stderr: out.stderr, json: out.stdout ? JSON.parse(out.stdout) : null };
  };
  return {
    ...up,
    folder,
    fleet,
    site: (name) => fleet('sites').json?.sites.find((s) => s.name === name),
    ask: async (fields, url = up.url) => {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: up.model,
          messages: [{ role: 'user', content: 'hello' }],
          max_tokens: 4,
          ...fields,
        }),
      });
      return {
        status: response.status,
        site: response.headers.get('x-noroshi-site'),
        context: response.headers.get('x-noroshi-context'),
        text: await response.text(),
      };
    },
    metrics: async (url = up.url) => (await fetch(`${url}/metrics`)).text(),
    // Another gateway with a key of its own, once it listens: {url, stop()}.
    door: async (id) => {
      const added = spawnSync(NOROSHI_BIN, ['fleet', 'keys', 'add', 'gateway', id, '--region', 'east', '--folder', folder]);
      if (added.status !== 0) throw new Error(`keys add: ${added.stderr}`);
      const { url, ca } = JSON.parse(readFileSync(join(folder, 'fleet.json'), 'utf8'));
      const keys = ['--nats', url, '--ca', ca, '--nkey', join(folder, 'keys', `gateway-${id}.nk`)];
      const gateway = spawn(NOROSHI_BIN, ['gateway', '--id', id, '--region', 'east', '--port', '0', ...keys], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const gone = new Promise((resolve) => gateway.once('exit', resolve));
      process.once('exit', () => gateway.kill('SIGKILL'));
      const stop = (signal = 'SIGINT') => (gateway.kill(signal), gone);
      return { ...(await listens(gateway)), stop };
    },
    // Returns the exit code, once all is tidied up.
    stop: async () => {
      child.kill('SIGINT');
      const code = await ended;
      rmSync(folder, { recursive: true, force: true });
      return code;
    },
  };
}
