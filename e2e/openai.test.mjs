// Catches: anything that OpenAI's own client, as it is published, does not understand or does not
// get from a running site: lists, answers, streams, aborts, embeddings, every error; and a gateway
// that an engine's death takes along.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { descendants, startSite, until } from './site.mjs';

let site;
let client;
let model;
const messages = [{ role: 'user', content: 'Which fire answers the first?' }];
const clientWith = (options) =>
  new OpenAI({ baseURL: `${site.url}/v1`, apiKey: site.key, maxRetries: 0, ...options });

before(async () => {
  site = await startSite();
  client = clientWith({});
  model = (await client.models.list()).data[0].id;
});
after(async () => {
  if (site) assert.equal(await site.stop(), 0, 'the site ends well when asked');
});

async function metric(name) {
  const text = await (await fetch(`${site.url}/metrics`)).text();
  const line = text.split('\n').find((l) => l.startsWith(`${name} `));
  assert.ok(line, `/metrics has ${name}`);
  return Number(line.split(' ')[1]);
}

// The error that the client throws, checked for OpenAI's fields.
async function failure(promise, status, fields = {}) {
  const error = await promise.then(
    () => assert.fail('was accepted'),
    (e) => e,
  );
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.equal(error.status, status);
  assert.equal(typeof error.error.message, 'string');
  assert.equal(typeof error.error.type, 'string');
  for (const [key, value] of Object.entries(fields)) assert.equal(error[key], value, key);
  return error;
}

test('lists and retrieves models', async () => {
  const list = await client.models.list();
  assert.equal(list.object, 'list');
  assert.equal(list.data[0].object, 'model');
  assert.equal((await client.models.retrieve(model)).id, model);
});

test('answers a chat', async () => {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 8 });
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(['stop', 'length'].includes(answer.choices[0].finish_reason));
  assert.ok(answer.usage.prompt_tokens > 0);
  assert.equal(
    answer.usage.total_tokens,
    answer.usage.prompt_tokens + answer.usage.completion_tokens,
  );
  assert.ok(answer._request_id, 'x-request-id');
});

test('completes a text', async () => {
  const answer = await client.completions.create({ model, prompt: 'A beacon', max_tokens: 8 });
  assert.equal(answer.object, 'text_completion');
  assert.equal(typeof answer.choices[0].text, 'string');
});

test('streams a chat with usage, and meters it', async () => {
  const before = await metric('noroshi_gateway_tokens_total{kind="completion"}');
  const stream = await client.chat.completions.create({
    model,
    messages,
    max_tokens: 32,
    stream: true,
    stream_options: { include_usage: true },
  });
  let usage = null;
  let finish = null;
  let pieces = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    ++pieces;
    finish = chunk.choices[0]?.finish_reason ?? finish;
    if (chunk.usage) usage = chunk.usage;
  }
  assert.ok(pieces >= 2);
  assert.ok(['stop', 'length'].includes(finish));
  assert.ok(usage.completion_tokens > 0 && usage.completion_tokens <= 32);
  const after = await metric('noroshi_gateway_tokens_total{kind="completion"}');
  assert.equal(after - before, usage.completion_tokens);
});

test('streams without usage when nobody asks', async () => {
  const stream = await client.chat.completions.create({
    model,
    messages,
    max_tokens: 8,
    stream: true,
  });
  for await (const chunk of stream) assert.ok(!chunk.usage);
});

test('an abort frees the engine for the next question', async () => {
  const left = await metric('noroshi_gateway_clients_left_total');
  // As many as the engine answers at once, all under way.
  await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const stream = await client.chat.completions.create({
        model,
        messages,
        max_tokens: 1900,
        stream: true,
        ignore_eos: true, // llama-server's: the answer must not be over before the abort
      });
      for await (const chunk of stream) {
        if (chunk.choices.length > 0) break; // the client aborts a stream that is left
      }
      stream.controller.abort();
    }),
  );
  await until(
    'no request in flight',
    async () => (await metric('noroshi_gateway_requests_in_flight')) === 0,
  );
  assert.equal(await metric('noroshi_gateway_clients_left_total'), left + 4);
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 4 });
  assert.equal(answer.object, 'chat.completion');
});

test('an abort before the first token is one too', async () => {
  const controller = new AbortController();
  const pending = client.chat.completions.create(
    { model, messages, max_tokens: 1900, ignore_eos: true },
    { signal: controller.signal },
  );
  await until(
    'the request is at the engine',
    async () => (await metric('noroshi_gateway_requests_in_flight')) === 1,
  );
  controller.abort();
  await assert.rejects(pending, OpenAI.APIUserAbortError);
  await until(
    'no request in flight',
    async () => (await metric('noroshi_gateway_requests_in_flight')) === 0,
  );
});

test('embeds', async () => {
  const answer = await client.embeddings.create({ model, input: ['near', 'far'] });
  assert.equal(answer.data.length, 2);
  assert.ok(answer.data[0].embedding.length > 0);
  assert.ok(answer.data[0].embedding.every(Number.isFinite));
  assert.notDeepEqual(answer.data[0].embedding, answer.data[1].embedding);
});

test('401 for a wrong key', async () => {
  await failure(clientWith({ apiKey: 'wrong' }).models.list(), 401, { code: 'invalid_api_key' });
});

test('404 for an unknown model and an unknown path', async () => {
  await failure(client.chat.completions.create({ model: 'no-such', messages }), 404, {
    code: 'model_not_found',
  });
  await failure(client.models.retrieve('no-such'), 404, { code: 'model_not_found' });
  await failure(client.get('/nothing'), 404);
});

test('405 for a wrong method', async () => {
  await failure(client.get('/chat/completions'), 405);
});

test('400 names the wrong field', async () => {
  await failure(client.chat.completions.create({ model }), 400, { param: 'messages' });
  await failure(client.chat.completions.create({ model, messages, temperature: 9 }), 400, {
    param: 'temperature',
  });
  await failure(client.embeddings.create({ model }), 400, { param: 'input' });
  const response = await fetch(`${site.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${site.key}`, 'content-type': 'application/json' },
    body: '{"model": oops}',
  });
  assert.equal(response.status, 400);
  assert.match((await response.json()).error.message, /line 1 column/);
});

test('413 for a body that is too large', async () => {
  const huge = [{ role: 'user', content: 'x'.repeat(6 << 20) }];
  await failure(client.chat.completions.create({ model, messages: huge }), 413);
});

test('429 with retry-after for a client that asks too often', async (t) => {
  if (!site.limited_key) return t.skip('no NOROSHI_LIMITED_KEY');
  const limited = clientWith({ apiKey: site.limited_key });
  const answers = await Promise.allSettled(
    Array.from({ length: 120 }, () => limited.models.list()),
  );
  const refused = answers.filter((a) => a.status === 'rejected').map((a) => a.reason);
  assert.ok(refused.length > 0 && refused.length < 120, `${refused.length} refused`);
  for (const error of refused) {
    assert.equal(error.status, 429);
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.ok(Number(error.headers.get('retry-after')) >= 1);
  }
  await client.models.list(); // others are not touched
});

test('an engine that is killed in a stream is an error, and is back soon', async (t) => {
  if (!site.pid) return t.skip('the site is not ours');
  const stream = await client.chat.completions.create({
    model,
    messages,
    max_tokens: 1900,
    stream: true,
    ignore_eos: true,
  });
  const read = async () => {
    let killed = false;
    for await (const chunk of stream) {
      if (!killed && chunk.choices.length > 0) {
        killed = true;
        for (const pid of descendants(site.pid)) process.kill(pid, 'SIGKILL');
      }
    }
  };
  await assert.rejects(read(), OpenAI.APIError);
  await until('the engine answers again', async () => {
    try {
      await client.chat.completions.create({ model, messages, max_tokens: 4 });
      return true;
    } catch (error) {
      assert.ok([502, 503].includes(error.status), String(error));
      return false;
    }
  });
});
