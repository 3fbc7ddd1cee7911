// The site under test: one that runs already (NOROSHI_URL), or one of our own.

import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

const START_LIMIT_MS = 180_000;

// Asks until the answer is true. The rest between two questions only spares the processor.
export async function until(what, question, limit_ms = 60_000) {
  const deadline = Date.now() + limit_ms;
  for (;;) {
    if (await question()) return;
    if (Date.now() > deadline) throw new Error(`not within ${limit_ms / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function healthy(url) {
  try {
    const response = await fetch(`${url}/health`);
    await response.text();
    return response.status === 200;
  } catch {
    return false;
  }
}

// Returns {url, key, limited_key, pid, stop()}; pid and limited_key are undefined where unknown.
export async function startSite() {
  if (process.env.NOROSHI_URL) {
    const url = process.env.NOROSHI_URL.replace(/\/$/, '');
    await until(`${url}/health answers 200`, () => healthy(url), START_LIMIT_MS);
    return {
      url,
      key: process.env.NOROSHI_KEY ?? 'none',
      limited_key: process.env.NOROSHI_LIMITED_KEY,
      stop: async () => 0,
    };
  }

  const { NOROSHI_BIN, NOROSHI_CONFIG, NOROSHI_MODEL } = process.env;
  const child = spawn(
    NOROSHI_BIN,
    ['site', '--config', NOROSHI_CONFIG, '--model', NOROSHI_MODEL, '--duration', '0'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const killed = () => child.kill('SIGKILL');
  process.once('exit', killed);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  const ready = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      try {
        const event = JSON.parse(line);
        if (event.event === 'ready') resolve(event.url);
      } catch {
        console.error(`site: ${line}`);
      }
    });
  });
  const url = await Promise.race([
    ready,
    ended.then((code) => Promise.reject(new Error(`the site ended at once: ${code}`))),
  ]);
  await until('the engine is ready', () => healthy(url), START_LIMIT_MS);
  return {
    url,
    key: 'e2e-key',
    limited_key: 'e2e-limited-key',
    pid: child.pid,
    stop: async () => {
      child.kill('SIGINT');
      const code = await ended;
      process.off('exit', killed);
      return code;
    },
  };
}

// The processes that this one started, and theirs.
export function descendants(pid) {
  const found = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8');
    for (const child of children.split(' ').filter(Boolean).map(Number)) {
      found.push(child, ...descendants(child));
    }
  }
  return found;
}
