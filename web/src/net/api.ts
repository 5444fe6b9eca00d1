import { signal } from '@preact/signals';
import { strings } from '../strings';
import { chunkEvents, type StreamEvent } from './chunks';
import { SseParser } from './sse';

const keyName = 'tessera.key';
export const apiKey = signal(localStorage.getItem(keyName) ?? '');
/** True while the server refuses the key that we have: the page asks for another. */
export const keyRefused = signal(false);

export function setApiKey(key: string): void {
  apiKey.value = key;
  keyRefused.value = false;
  if (key) localStorage.setItem(keyName, key);
  else localStorage.removeItem(keyName);
}

/** What the server answered. status 0: it did not. */
export class ServerError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function errorOf(response: Response): Promise<ServerError> {
  let message = '';
  try {
    const body: unknown = await response.clone().json();
    const error = (body as { error?: { message?: string } | string }).error;
    message = (typeof error === 'string' ? error : error?.message) ?? '';
  } catch {
    message = (await response.text().catch(() => '')).slice(0, 300);
  }
  if (response.status === 401 || response.status === 403) keyRefused.value = true;
  if (response.status === 413 && !message) message = strings.errors.tooLarge;
  return new ServerError(response.status, message || strings.errors.status(response.status));
}

/** Addresses are relative to the page, so that it works behind a proxy's path. */
async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (apiKey.value) headers.set('Authorization', `Bearer ${apiKey.value}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: 'no-store' });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new ServerError(0, strings.errors.unreachable);
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

export const getJson = async <T>(path: string, signal?: AbortSignal): Promise<T> => (await request(path, signal ? { signal } : {})).json() as Promise<T>;
export const getText = async (path: string): Promise<string> => (await request(path)).text();

const post = (path: string, body: unknown, signal?: AbortSignal) =>
  request(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
export const postJson = async <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> => (await post(path, body, signal)).json() as Promise<T>;

/**
 * Streams a chat completion. Throws ServerError(0) when the connection ends before the reply does, AbortError
 * when `signal` says so. Errors in the stream are ServerError(500).
 */
export async function streamChat(body: object, signal: AbortSignal, onEvent: (event: StreamEvent) => void, onOpen: () => void): Promise<void> {
  const response = await post('v1/chat/completions', body, signal);
  onOpen();
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new ServerError(0, strings.errors.connectionLost);
  const parser = new SseParser();
  let finished = false;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      for (const data of parser.push(value)) {
        if (data === '[DONE]') return;
        for (const event of chunkEvents(data)) {
          if (event.kind === 'error') throw new ServerError(500, event.message);
          if (event.kind === 'finish') finished = true;
          onEvent(event);
        }
      }
    }
  } catch (error) {
    if (error instanceof ServerError || (error as Error).name === 'AbortError') throw error;
    throw new ServerError(0, strings.errors.connectionLost);
  } finally {
    reader.cancel().catch(() => undefined);
  }
  if (!finished) throw new ServerError(0, strings.errors.connectionLost);
}
