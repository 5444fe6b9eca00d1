import { describe, expect, it } from 'vitest';
import { chunkEvents } from '../../src/net/chunks';
import { addReading, parseMetrics } from '../../src/net/metrics';
import { apiMessages, requestBody, userContent } from '../../src/net/request';
import { SseParser } from '../../src/net/sse';
import { defaultSettings, type Message } from '../../src/model/types';

describe('server-sent events', () => {
  const stream = ': ping\r\n\r\ndata: {"a":1}\n\ndata:two\ndata: lines\n\nevent: x\nid: 3\n\ndata: [DONE]\r\n\r\ndata: cut';
  it('are the same however they are cut', () => {
    for (let size = 1; size < stream.length; size++) {
      const parser = new SseParser();
      const events: string[] = [];
      for (let i = 0; i < stream.length; i += size) events.push(...parser.push(stream.slice(i, i + size)));
      expect(events, `pieces of ${size}`).toEqual(['{"a":1}', 'two\nlines', '[DONE]']);
    }
  });
  it('end lines with a lone return, too', () => expect(new SseParser().push('data: a\r\rdata: b\r\r')).toEqual(['a', 'b']));
});

describe('chunks', () => {
  const events = (json: unknown) => chunkEvents(JSON.stringify(json));
  it('give text, thought, calls and the end', () => {
    expect(events({ choices: [{ delta: { role: 'assistant', content: null } }] })).toEqual([]);
    expect(events({ choices: [{ delta: { content: 'a' } }] })).toEqual([{ kind: 'text', text: 'a' }]);
    expect(events({ choices: [{ delta: { reasoning: 'b' } }] })).toEqual([{ kind: 'thought', text: 'b' }]);
    expect(events({ choices: [{ delta: {}, finish_reason: 'length' }] })).toEqual([{ kind: 'finish', reason: 'length' }]);
    expect(events({ choices: [{ delta: { tool_calls: [{ index: 1, function: { arguments: '{"' } }] } }] })).toEqual([{ kind: 'call', index: 1, arguments: '{"' }]);
  });
  it('give probabilities and marks of the drafter', () => {
    const [event] = events({ choices: [{ delta: {}, logprobs: { content: [{ token: 'a', logprob: -0.1, draft: true, top_logprobs: [{ token: 'b', logprob: -2 }] }] } }] });
    expect(event).toEqual({ kind: 'tokens', tokens: [{ text: 'a', logprob: -0.1, drafted: true, alternatives: [{ text: 'b', logprob: -2 }] }] });
  });
  it('give numbers only where there are some', () => {
    expect(events({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } })).toEqual([{ kind: 'timings', timings: { promptTokens: 3, replyTokens: 4 } }]);
  });
  it('give the context’s size while the answer comes', () => {
    expect(events({ choices: [], timings: { cache_n: 12, prompt_n: 500 } })).toEqual([{ kind: 'timings', timings: { promptTokens: 512, cachedTokens: 12 } }]);
  });
  it('give errors in words', () => {
    expect(events({ error: { message: 'full' } })).toEqual([{ kind: 'error', message: 'full' }]);
    expect(chunkEvents('<html>')[0]?.kind).toBe('error');
    for (const odd of [null, 1, 'x', [], {}, { choices: 3 }, { choices: [null] }, { choices: [{ delta: 5 }], usage: 7 }]) expect(() => events(odd)).not.toThrow();
  });
});

const message = (fields: Partial<Message>): Message => ({ id: 'm', conversation: 'c', parent: null, role: 'user', created: 0, text: '', attachments: [], state: 'done', ...fields });
const load = async () => new Blob([new Uint8Array([1, 2, 3])]);
const file = { media: 'x', name: 'n', bytes: 3 };

describe('requests', () => {
  it('put pictures before the text and sound after it', async () => {
    const content = (await userContent(
      message({
        text: 'hello',
        attachments: [
          { kind: 'audio', mime: 'audio/mpeg', seconds: 1, ...file },
          { kind: 'image', mime: 'image/png', width: 5, height: 5, budget: 560, ...file },
          { kind: 'text', name: 'a.txt', text: 'inside' },
        ],
      }),
      load,
    )) as Record<string, unknown>[];
    expect(content.map((p) => p['type'])).toEqual(['image_url', 'text', 'text', 'input_audio']);
    expect(content[0]).toEqual({ type: 'image_url', image_url: { url: 'data:image/png;base64,AQID', detail: 'high' }, max_soft_tokens: 560 });
    expect(content[3]).toEqual({ type: 'input_audio', input_audio: { data: 'AQID', format: 'mp3' } });
  });
  it('tell the model of a file that is gone', async () => {
    const content = await userContent(message({ attachments: [{ kind: 'image', mime: 'image/png', width: 5, height: 5, budget: 70, ...file }] }), async () => undefined);
    expect(content).toEqual([{ type: 'text', text: '[n is missing]' }]);
  });
  it('keep calls and their results in order', async () => {
    const rounds = [{ thought: 't', text: '', calls: [{ id: '1', name: 'f', arguments: '{}', result: '2' }] }];
    const list = await apiMessages({ system: 'S' }, [message({ text: 'q' }), message({ role: 'assistant', text: 'a', rounds })], load);
    expect(list.map((m) => m['role'])).toEqual(['system', 'user', 'assistant', 'tool', 'assistant']);
  });
  it('send only what was set', () => {
    const body = requestBody([], { ...defaultSettings, temperature: 0, seed: 0 }, { model: 'm', tools: [{}] });
    expect(body).toMatchObject({ temperature: 0, seed: 0, stream: true });
    for (const key of ['top_k', 'top_p', 'max_tokens', 'logprobs', 'tools', 'continue_final_message']) expect(body).not.toHaveProperty(key);
  });
});

describe('metrics', () => {
  const page = (n: number) => `# HELP r_total Requests.\n# TYPE r_total counter\nr_total{code="200"} ${n}\nr_total{code="400"} 2\nr_total{route="/slots"} ${n * 7}\n# TYPE g gauge\ng 5e3\n# TYPE h histogram\nh_bucket{le="1"} 3\nh_sum ${n}\nh_count ${n / 2}\nbroken line\n`;
  it('are read, and counters become rates', () => {
    const families = parseMetrics(page(10));
    expect(families.map((f) => f.name)).toEqual(['r_total', 'g', 'h']);
    const first = addReading(new Map(), families, 1000, 5000);
    const second = addReading(first, parseMetrics(page(16)), 3000, 5000);
    expect(second.get('r_total')?.points.map((p) => p.value)).toEqual([0, 3]);
    expect(second.get('g')?.points.at(-1)?.value).toBe(5000);
    expect(second.get('h')?.points.map((p) => p.value)).toEqual([2, 2]);
    const restarted = addReading(second, parseMetrics(page(1)), 9000, 5000);
    expect(restarted.get('r_total')?.points.map((p) => p.value)).toEqual([0]);
  });
});
