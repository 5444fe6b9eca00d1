import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** A server that streams as `tessera serve` does, without a model: it serves dist/ and answers by rote. */

type Json = Record<string, unknown>;

export interface MockOptions {
  key: string;
  tokenMs: number;
  /** Tokens of one write: several at once stand for a fast model. */
  burst: number;
  /** Ends the connection after so many tokens; 0: never. */
  dropAfter: number;
  small: boolean;
  maxAudioSeconds: number;
  reply: string;
  thought: string;
}
export const defaults: MockOptions = { key: '', tokenMs: 4, burst: 1, dropAfter: 0, small: false, maxAudioSeconds: 600, reply: '', thought: '' };

const dist = new URL('../dist/', import.meta.url).pathname;

export interface Mock {
  url: string;
  options: MockOptions;
  /** Bodies of chat requests that asked for a stream. */
  requests: Json[];
  /** Streams that the page closed before their end. */
  closedEarly: number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

interface Entry {
  file: string;
  encoding: string;
  type: string;
}
function readManifest(): Map<string, Entry> {
  const lines = readFileSync(join(dist, 'manifest.txt'), 'utf8').split('\n').filter((l) => l && !l.startsWith('#'));
  return new Map(lines.map((line) => {
    const [address, file, encoding, , type] = line.split('\t') as [string, string, string, string, string];
    return [address, { file, encoding, type }];
  }));
}

const partsOf = (message: Json): Json[] => (Array.isArray(message['content']) ? (message['content'] as Json[]) : [{ type: 'text', text: message['content'] }]);
const textOf = (message: Json): string => partsOf(message).map((p) => (p['type'] === 'text' ? String(p['text']) : '')).join('');

export const longReply = readFileSync(new URL('./long_reply.md', import.meta.url), 'utf8');
const board = '10:25 | LH902 | Frankfurt | B12 | Boarding\n10:45 | BA117 | New York | B22 | On time\n11:05 | AF1681 | Paris | A04 | Delayed';

function replyTo(messages: Json[], options: MockOptions): string {
  if (options.reply) return options.reply;
  const last = messages.at(-1) as Json;
  if (last['role'] === 'tool') return `The tool says ${textOf(last)}.`;
  if (last['role'] === 'assistant') return ' and here is the rest of it.';
  const kinds = partsOf(last).map((p) => p['type']);
  if (kinds.includes('image_url')) return board;
  if (kinds.includes('input_audio')) return 'I heard a steady tone.';
  if (/table|markdown|sky/.test(textOf(last))) return longReply;
  return `You said: ${textOf(last)}`;
}

const tokensOf = (text: string): string[] => text.match(/\s?[^\s]{1,5}|\s+/g) ?? [];

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function chat(mock: Mock, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString()) as Json;
  const messages = body['messages'] as Json[];
  const o = mock.options;
  if (!body['stream']) {
    return send(response, 200, { choices: [{ message: { role: 'assistant', content: '"A title by the model."' }, finish_reason: 'stop' }] });
  }
  mock.requests.push(body);
  if (/refuse me/.test(textOf(messages.at(-1) as Json))) {
    return send(response, 400, { error: { code: 400, message: 'prompt is 140212 tokens, context is 8192; shorten it', type: 'invalid_request_error' } });
  }
  let closed = false;
  response.on('close', () => {
    if (!response.writableEnded) closed = true;
  });
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  const event = (data: Json) => response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', ...data })}\n\n`);
  const delta = (d: Json, extra: Json = {}) => event({ choices: [{ index: 0, delta: d, finish_reason: null, ...extra }] });
  event({ choices: [{ index: 0, delta: { role: 'assistant', content: null } }] });
  const started = Date.now();
  for (let done = 128; done <= 512; done += 128) {
    event({ choices: [], prompt_progress: { total: 512, cache: 0, processed: done, time_ms: Date.now() - started } });
    await wait(o.tokenMs);
  }
  response.write(': keep-alive\n\n');
  const kwargs = body['chat_template_kwargs'] as Json | undefined;
  const thinks = kwargs?.['enable_thinking'] ? o.thought || 'The user wants an answer. Let me see what it should be.' : '';
  const wantsTool = Array.isArray(body['tools']) && /\d\s*[*+]\s*\d/.test(textOf(messages.at(-1) as Json)) && messages.at(-1)?.['role'] === 'user';
  const reply = wantsTool ? '' : replyTo(messages, o);
  const all = [...tokensOf(thinks).map((t) => ({ t, thought: true })), ...tokensOf(reply).map((t) => ({ t, thought: false }))];
  let n = 0;
  for (const { t, thought } of all) {
    if (closed) return void mock.closedEarly++;
    const drafted = n % 3 !== 0;
    const logprobs = body['logprobs'] && !thought
      ? { logprobs: { content: [{ token: t, logprob: -(n % 5) * 0.3 - 0.01, draft: drafted, top_logprobs: [{ token: t, logprob: -(n % 5) * 0.3 - 0.01 }, { token: ' other', logprob: -2.5 }] }] } }
      : {};
    delta(thought ? { reasoning_content: t } : { content: t }, logprobs);
    n++;
    if (o.dropAfter && n >= o.dropAfter) return void response.destroy();
    if (n % o.burst === 0) await wait(o.tokenMs);
  }
  if (wantsTool) {
    const expression = /[\d\s*+().-]+/.exec(textOf(messages.at(-1) as Json))?.[0].trim() ?? '1';
    delta({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'calculate', arguments: '{"expr' } }] });
    delta({ tool_calls: [{ index: 0, function: { arguments: `ession":"${expression}"}` } }] });
  }
  const ms = Math.max(1, Date.now() - started);
  event({
    choices: [{ index: 0, delta: {}, finish_reason: wantsTool ? 'tool_calls' : 'stop' }],
    timings: { cache_n: 12, prompt_n: 500, prompt_per_second: 2900, predicted_n: n, predicted_ms: ms, predicted_per_second: (n * 1000) / ms, draft_n: n, draft_n_accepted: Math.floor(n * 0.7) },
  });
  event({ choices: [], usage: { prompt_tokens: 512, completion_tokens: n, total_tokens: 512 + n, prompt_tokens_details: { cached_tokens: 12 } } });
  response.end('data: [DONE]\n\n');
}

let looks = 0;
/** As the program's, a busy one's. */
function metrics(): string {
  const n = ++looks;
  const swing = Math.round(60 + 20 * Math.sin(n / 2));
  const family = (name: string, type: string, value: number) => `# TYPE tessera_${name} ${type}\ntessera_${name} ${value}\n`;
  const mean = (name: string, seconds: number) => `# TYPE tessera_${name} histogram\ntessera_${name}_bucket{le="+Inf"} ${n * 9}\ntessera_${name}_sum ${n * 9 * seconds}\ntessera_${name}_count ${n * 9}\n`;
  return (
    `# HELP tessera_requests_total Requests answered.\n# TYPE tessera_requests_total counter\ntessera_requests_total{route="chat_completions",status="200"} ${n * 3}\ntessera_requests_total{route="/slots",status="200"} ${n}\n` +
    family('completion_tokens_total', 'counter', n * 2 * swing) + family('prompt_tokens_total', 'counter', n * 900) + family('cached_tokens_total', 'counter', n * 600) +
    mean('first_token_seconds', 0.21) + mean('inter_token_seconds', 0.0123) +
    family('requests_active', 'gauge', 2 + (n % 3)) + family('queued', 'gauge', 0) + family('resident_bytes', 'gauge', 14.1e9) + family('cache_ram_bytes', 'gauge', 734003200) +
    family('steps', 'gauge', n * 120) + family('busy_seconds', 'gauge', n * 1.7)
  );
}
const logs = () => Array.from({ length: 40 }, (_, i) => `2026-11-22T20:00:${String(i).padStart(2, '0')}.000Z info request id=${i + 1} peer=127.0.0.1 method=POST path=/v1/chat/completions status=200 bytes=8121 ms=${300 + i}\n`).join('');

export async function startMock(change: Partial<MockOptions> = {}): Promise<Mock> {
  let server: Server;
  let port = 0;
  const manifest = readManifest();
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const path = new URL(request.url ?? '/', 'http://x').pathname;
    const file = manifest.get(path);
    if (file) {
      const headers: Record<string, string> = { 'Content-Type': file.type, 'Cache-Control': 'no-cache' };
      if (file.encoding !== 'identity') headers['Content-Encoding'] = file.encoding;
      return void response.writeHead(200, headers).end(readFileSync(join(dist, file.file)));
    }
    const { key, small, maxAudioSeconds } = mock.options;
    if (path !== '/health' && key && request.headers.authorization !== `Bearer ${key}`) {
      return send(response, 401, { error: { code: 401, message: 'Invalid API key', type: 'authentication_error' } });
    }
    if (path === '/health') return send(response, 200, { status: 'ok' });
    if (path === '/v1/models') {
      const meta = { n_params: small ? 41_700_000 : 11_900_000_000, n_ctx_train: 262144 };
      return send(response, 200, { object: 'list', data: [{ id: small ? 'mini' : 'gemma-4-12B-it', meta }] });
    }
    if (path === '/props') {
      return send(response, 200, { modalities: { vision: true, audio: true, video: true }, default_generation_settings: { n_ctx: 8192 }, build_info: 'tessera 0.1', backend: 'cpu avx512, 2 threads', max_body_bytes: 64 << 20, max_audio_s: maxAudioSeconds, weight_bytes: 12.7e9, kv_bytes: 1.34e9, drafter: 'on', format: 'GGUF, 1 file and an mmproj' });
    }
    if (path === '/slots') return send(response, 200, [{ id: 0, is_processing: true, n_ctx: 8192, n_past: 1234 }, { id: 1, is_processing: false, n_ctx: 8192 }]);
    if (path === '/logs') return void response.writeHead(200, { 'Content-Type': 'text/plain' }).end(logs());
    if (path === '/metrics') return void response.writeHead(200, { 'Content-Type': 'text/plain' }).end(metrics());
    if (path === '/v1/chat/completions') return chat(mock, request, response);
    send(response, 404, { error: { code: 404, message: `there is no ${path}`, type: 'not_found_error' } });
  };
  const mock: Mock = {
    url: '',
    options: { ...defaults, ...change },
    requests: [],
    closedEarly: 0,
    async start() {
      server = createServer((request, response) => void handle(request, response).catch((error: Error) => response.destroy(error)));
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      port = (server.address() as AddressInfo).port;
      mock.url = `http://127.0.0.1:${port}/`;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await mock.start();
  return mock;
}
