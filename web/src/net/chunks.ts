import type { Token, TokenChoice } from '../model/types';
import { strings } from '../strings';

export interface Timings {
  promptTokens?: number;
  cachedTokens?: number;
  promptPerSecond?: number;
  replyTokens?: number;
  replyPerSecond?: number;
  draftedTokens?: number;
  acceptedTokens?: number;
}
export type StreamEvent =
  | { kind: 'progress'; done: number; total: number; cached: number }
  | { kind: 'text' | 'thought'; text: string }
  | { kind: 'tokens'; tokens: Token[] }
  | { kind: 'call'; index: number; id?: string; name?: string; arguments: string }
  | { kind: 'timings'; timings: Timings }
  | { kind: 'warning'; text: string }
  | { kind: 'finish'; reason: string }
  | { kind: 'error'; message: string };

type Json = Record<string, unknown>;
const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const number = (value: unknown): number | undefined => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);

/** The fields of `values` that are there: exactOptionalPropertyTypes wants them absent, not undefined. */
function present(values: { [K in keyof Timings]: number | undefined }): Timings {
  return Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined));
}

function choice(entry: unknown): TokenChoice {
  const e = object(entry);
  return { text: text(e['token']), logprob: number(e['logprob']) ?? -Infinity };
}
function token(entry: unknown): Token {
  const e = object(entry);
  const drafted = e['draft'] ?? e['drafted'];
  return {
    ...choice(e),
    alternatives: list(e['top_logprobs']).map(choice),
    ...(typeof drafted === 'boolean' ? { drafted } : {}),
  };
}

/** What one chat.completion.chunk says, in order. Unknown fields are passed over. */
export function chunkEvents(data: string): StreamEvent[] {
  let json: Json;
  try {
    json = object(JSON.parse(data));
  } catch {
    return [{ kind: 'error', message: strings.errors.notJson(data.slice(0, 80)) }];
  }
  if (json['error']) {
    const error = json['error'];
    return [{ kind: 'error', message: text(object(error)['message']) || text(error) || strings.errors.reported }];
  }
  const events: StreamEvent[] = [];
  const progress = object(json['prompt_progress']);
  if (number(progress['total']) !== undefined) {
    const cached = number(progress['cache']) ?? 0;
    events.push({ kind: 'progress', done: number(progress['processed']) ?? 0, total: progress['total'] as number, cached });
  }
  const first = object(list(json['choices'])[0]);
  const delta = object(first['delta']);
  const thought = text(delta['reasoning_content']) || text(delta['reasoning']);
  if (thought) events.push({ kind: 'thought', text: thought });
  if (text(delta['content'])) events.push({ kind: 'text', text: text(delta['content']) });
  const tokens = list(object(first['logprobs'])['content']).map(token);
  if (tokens.length) events.push({ kind: 'tokens', tokens });
  for (const entry of list(delta['tool_calls'])) {
    const call = object(entry);
    const made = object(call['function']);
    events.push({
      kind: 'call',
      index: number(call['index']) ?? 0,
      ...(text(call['id']) ? { id: text(call['id']) } : {}),
      ...(text(made['name']) ? { name: text(made['name']) } : {}),
      arguments: text(made['arguments']),
    });
  }
  const warning = text(json['warning']) || text(first['warning']) || text(delta['warning']);
  if (warning) events.push({ kind: 'warning', text: warning });
  const usage = object(json['usage']);
  if (json['usage']) {
    events.push({
      kind: 'timings',
      timings: present({
        promptTokens: number(usage['prompt_tokens']),
        replyTokens: number(usage['completion_tokens']),
        cachedTokens: number(object(usage['prompt_tokens_details'])['cached_tokens']),
      }),
    });
  }
  if (json['timings']) {
    const t = object(json['timings']);
    const fresh = number(t['prompt_n']);
    events.push({
      kind: 'timings',
      timings: present({
        promptTokens: fresh === undefined ? undefined : fresh + (number(t['cache_n']) ?? 0),
        cachedTokens: number(t['cache_n']),
        promptPerSecond: number(t['prompt_per_second']),
        replyTokens: number(t['predicted_n']),
        replyPerSecond: number(t['predicted_per_second']),
        draftedTokens: number(t['draft_n']),
        acceptedTokens: number(t['draft_n_accepted']),
      }),
    });
  }
  if (text(first['finish_reason'])) events.push({ kind: 'finish', reason: text(first['finish_reason']) });
  return events;
}
