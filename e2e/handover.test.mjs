// A session that moves between two real engines, by itself: would catch a context that does not
// come along, one that the new engine does not use, an answer that does not say so, and a session
// that is not answered because its context was not to be had, or begins anew because its user came
// in by another door, or by one that had been restarted.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFleet } from './fleet.mjs';
import { until } from './site.mjs';

const skip = process.env.NOROSHI_BIN ? false : 'NOROSHI_URL: one site, no fleet';
let up;

before(async () => {
  if (!skip) up = await startFleet('--secure', '--no-cells', '--context-tokens', '16384');
});
after(async () => {
  if (up) assert.equal(await up.stop(), 0);
});

const history = (name) => [
  { role: 'user', content: `${name}: ${'the fire on the hill answers '.repeat(110)}` },
];

async function turn(user, messages, url) {
  const answer = await up.ask({ user, messages, max_tokens: 8 }, url);
  assert.equal(answer.status, 200, answer.text);
  const body = JSON.parse(answer.text);
  return { ...answer, usage: body.usage, message: body.choices[0].message };
}

// Drains a site and asks until the answer comes from another one.
async function awayFrom(site, user, messages, url) {
  assert.equal(up.fleet('drain', site).code, 0);
  let answer;
  await until(`${user} leaves ${site}`, async () => {
    answer = await turn(user, messages, url);
    return answer.site !== site;
  });
  return answer;
}
async function back(name) {
  assert.equal(up.fleet('undrain', name).code, 0);
  // More at once than the other one has places for.
  await until(`${name} takes requests again`, async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => up.ask({ max_tokens: 16 })));
    return answers.some((answer) => answer.site === name);
  });
}

// A move is given up when it takes longer than it would save, which a busy machine may bring about;
// then the session is answered all the same, and the next one tries again.
test("a session's context follows it", { skip }, async () => {
  await until('both sites are ready', () => ['site1', 'site2'].every((n) => up.site(n)?.state === 'ready'));
  // So that both know how fast they read.
  const taught = (await turn('teacher1', history('teacher1'))).site;
  await awayFrom(taught, 'teacher2', history('teacher2'));
  await back(taught);
  let tries = 0;
  await until('a context has moved', async () => {
    const user = `ann${++tries}`;
    const messages = history(user);
    const first = await turn(user, messages);
    assert.equal(first.context, null, 'it has not moved');
    messages.push(first.message, { role: 'user', content: 'and then?' });
    const second = await awayFrom(first.site, user, messages);
    console.log(`try ${tries}: ${second.context}`);
    const moved = /^moved; (\d+) tokens from (east|west)\/(site[12])$/.exec(second.context);
    if (moved) {
      assert.equal(moved[3], first.site);
      const there = first.usage.prompt_tokens;
      assert.ok(Number(moved[1]) >= there, `${moved[1]} of ${there} tokens`);
      const cached = second.usage.prompt_tokens_details.cached_tokens;
      assert.ok(cached > 0.9 * there, `${cached} of ${there} were in the cache`);
      const third = await turn(user, [...messages, second.message, { role: 'user', content: 'go on' }]);
      assert.equal(third.context, null, 'it stays');
      assert.match(await up.metrics(), /noroshi_gateway_contexts_total{outcome="moved"} [1-9]/);
    }
    await back(first.site);
    return moved !== null;
  }, 240_000);
});

test('a session goes on by another door, and after its restart', { skip }, async () => {
  const metric = async (url, name) =>
    Number(new RegExp(`^noroshi_fleet_${name} (\\d+)`, 'm').exec(await up.metrics(url))[1]);
  const heard = async () => metric(door.url, 'turns_heard_total');
  const told = async () => metric(up.url, 'turns_told_total');
  const open = async () => {
    door = await up.door('door2');
    await until('it was told of the sessions before', async () => (await heard()) > 0);
  };
  let door;
  await open();
  const before = { heard: await heard(), told: await told() };
  // To the far site, while the near one drains: where another door would not send it by itself.
  const messages = history('cyd');
  const first = await awayFrom('site1', 'cyd', messages);
  assert.equal(first.site, 'site2');
  await back('site1');
  await until('the other door has heard of it', async () => {
    const [here, there] = [await heard(), await told()];
    return there > before.told && here - before.heard >= there - before.told;
  });
  messages.push(first.message, { role: 'user', content: 'and then?' });
  const second = await turn('cyd', messages, door.url);
  assert.equal(second.site, 'site2');
  assert.equal(second.context, null, 'it has not moved');
  assert.ok(second.usage.prompt_tokens_details.cached_tokens > 0.9 * first.usage.prompt_tokens);

  await until('and told of its own', async () => (await metric(door.url, 'turns_told_total')) > 0);
  await door.stop('SIGKILL');
  await open();
  messages.push(second.message, { role: 'user', content: 'go on' });
  const third = await awayFrom('site2', 'cyd', messages, door.url);
  assert.equal(third.site, 'site1');
  console.log(third.context);
  assert.match(third.context, /^(moved|computed|failed); /, 'it is known whence it comes');
  await back('site2');
  await door.stop();
});

test('a session whose site died is answered', { skip }, async () => {
  const messages = history('bob');
  const first = await turn('bob', messages);
  process.kill(up.pids[first.site], 'SIGKILL');
  messages.push(first.message, { role: 'user', content: 'and then?' });
  const second = await turn('bob', messages);
  assert.notEqual(second.site, first.site);
});
