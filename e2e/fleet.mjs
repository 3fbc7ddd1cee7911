// A whole fleet under test, as a person starts it: `noroshi up`.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { NOROSHI_BIN, NOROSHI_MODEL } = process.env;

// Returns {url, model, pids, folder, fleet(...args), site(name), ask(fields), stop()}.
export async function startFleet(...args) {
  const folder = mkdtempSync(join(tmpdir(), 'noroshi-up-'));
  const child = spawn(
    NOROSHI_BIN,
    ['up', '--sites', '2', '--folder', folder, '--model', NOROSHI_MODEL, '--port', '0', ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  process.once('exit', () => child.kill('SIGKILL'));
  const up = await new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => resolve(JSON.parse(line)));
  });

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
    ask: async (fields) => {
      const response = await fetch(`${up.url}/v1/chat/completions`, {
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
    metrics: async () => (await fetch(`${up.url}/metrics`)).text(),
    // Returns the exit code, once all is tidied up.
    stop: async () => {
      child.kill('SIGINT');
      const code = await ended;
      rmSync(folder, { recursive: true, force: true });
      return code;
    },
  };
}
