import { computed, signal } from '@preact/signals';
import { postJson, ServerError, streamChat } from '../net/api';
import { apiMessages, requestBody } from '../net/request';
import { checkServer, link, server } from '../net/server';
import { strings } from '../strings';
import { LiveReply } from './live';
import * as state from './state';
import { adoptMedia, getMedia, newId, putMessage } from './store';
import { cleanTitle, titleFromText, titlePrompt } from './title';
import { runTool, toolDeclarations } from './tools';
import { pathTo, stepBranch, subtree } from './tree';
import type { Attachment, Conversation, Message } from './types';

/** Replies on their way, by conversation: one can be read while another is written. */
export const lives = signal<ReadonlyMap<string, LiveReply>>(new Map());
export const currentLive = computed(() => lives.value.get(state.currentId.value ?? '') ?? null);
/** A reply is on its way in the conversation that is shown. */
export const busy = computed(() => currentLive.value !== null);

const isLive = (message: string) => [...lives.value.values()].some((live) => live.message.id === message);
export const open = (id: string | null) => state.openConversation(id, isLive);

const saveEveryMs = 1000;
const maxRounds = 8;

function newMessage(conversation: string, parent: string | null, role: Message['role'], fields: Partial<Message> = {}): Message {
  return { id: newId(), conversation, parent, role, created: Date.now(), text: '', attachments: [], state: 'done', ...fields };
}

async function show(conversation: Conversation, message: Message): Promise<void> {
  await state.saveMessage(message);
  const now = state.conversations.value.find((c) => c.id === conversation.id) ?? conversation;
  await state.saveConversation({ ...now, updated: Date.now(), chosen: { ...now.chosen, [message.parent ?? '']: message.id } });
}

export async function send(text: string, attachments: Attachment[]): Promise<void> {
  const conversation = state.current.value ?? (await state.createConversation(titleFromText(text, attachments)));
  const parent = state.path.value.at(-1)?.id ?? null;
  await adoptMedia(conversation.id, attachments.flatMap((a) => (a.kind === 'text' ? [] : [a.media])));
  await show(conversation, newMessage(conversation.id, parent, 'user', { text, attachments }));
  await answer(conversation.id);
}

/** Another user message beside `id`, and an answer to it. */
export async function editAndSend(id: string, text: string, attachments: Attachment[]): Promise<void> {
  const old = state.messages.value.get(id);
  const conversation = state.current.value;
  if (!old || !conversation) return;
  await show(conversation, newMessage(conversation.id, old.parent, 'user', { text, attachments }));
  await answer(conversation.id);
}

/** Changes the words of a reply in place: what follows sees the new ones. */
export async function rewrite(id: string, text: string): Promise<void> {
  const old = state.messages.value.get(id);
  if (!old) return;
  const { tokens: _tokens, ...kept } = old;
  await state.saveMessage({ ...kept, text });
}

/** Another reply beside `id`. */
export async function regenerate(id: string): Promise<void> {
  const old = state.messages.value.get(id);
  const conversation = state.current.value;
  if (!old || !conversation || lives.value.has(conversation.id)) return;
  await reply(conversation, newMessage(conversation.id, old.parent, 'assistant', { state: 'streaming' }), false);
}

/** Goes on with a reply that was stopped, cut off or lost. */
export async function goOn(id: string): Promise<void> {
  const old = state.messages.value.get(id);
  const conversation = state.current.value;
  if (!old || !conversation || lives.value.has(conversation.id)) return;
  if (!old.text && !old.thought) return regenerate(id);
  const { error: _error, warning: _warning, ...kept } = old;
  await reply(conversation, { ...kept, state: 'streaming' }, true);
}

async function answer(conversationId: string): Promise<void> {
  const conversation = state.conversations.value.find((c) => c.id === conversationId);
  const last = state.path.value.at(-1);
  if (conversation && last) await reply(conversation, newMessage(conversationId, last.id, 'assistant', { state: 'streaming' }), false);
}

export function stop(conversation = state.currentId.value): void {
  lives.value.get(conversation ?? '')?.controller.abort();
}

async function reply(conversation: Conversation, message: Message, continued: boolean): Promise<void> {
  const live = new LiveReply(message);
  lives.value = new Map(lives.value).set(conversation.id, live);
  await show(conversation, message);
  const before = pathTo(state.messages.value, message.parent);
  // Base64 makes four bytes of three.
  live.sending.value = before.flatMap((m) => m.attachments).reduce((sum, a) => sum + (a.kind === 'text' ? 0 : a.bytes * 1.34), 0);
  let rounds = message.rounds ?? [];
  const end = (fields: Partial<Message>): Message => ({ ...live.snapshot(), ...(rounds.length ? { rounds } : {}), ...fields });
  // To the store alone: what is on screen comes from the live reply.
  const saving = setInterval(() => void putMessage(end({ state: 'streaming' })).catch(() => undefined), saveEveryMs);
  let result: Message;
  try {
    for (let round = 0; ; round++) {
      const partial: Message[] = continued || rounds.length ? [{ ...message, text: continued ? message.text : '', rounds }] : [];
      const list = await apiMessages(conversation, [...before, ...partial], getMedia);
      // After a tool's result the model speaks next; an empty assistant message would end its turn.
      if (rounds.length && !continued && list.at(-1)?.['role'] === 'assistant') list.pop();
      const body = requestBody(list, conversation.settings, { model: server.value?.model ?? '', tools: toolDeclarations, goOn: continued });
      await streamChat(body, live.controller.signal, (event) => live.take(event), () => (live.sending.value = 0));
      const calls = live.calls.filter(Boolean);
      if (!calls.length || round === maxRounds) break;
      const said = live.snapshot();
      rounds = [...rounds, { thought: said.thought ?? '', text: said.text, calls: calls.map((c) => ({ ...c, result: runTool(c.name, c.arguments) })) }];
      live.nextRound();
      await state.saveMessage({ ...message, rounds, state: 'streaming' });
    }
    result = end({ state: 'done', finish: live.finish });
  } catch (error) {
    result = end(failure(error));
  }
  clearInterval(saving);
  const left = new Map(lives.value);
  left.delete(conversation.id);
  await state.saveMessage(result);
  lives.value = left;
  if (result.state === 'done') void titleIfNeeded(conversation.id, before, result);
}

function failure(error: unknown): Partial<Message> {
  if ((error as Error).name === 'AbortError') return { state: 'stopped', finish: 'stopped' };
  if (error instanceof ServerError && error.status === 0) {
    link.value = 'gone';
    void checkServer();
    return { state: 'lost', error: error.message };
  }
  return { state: 'failed', error: error instanceof Error ? error.message : strings.errors.unknown };
}

async function titleIfNeeded(id: string, before: Message[], result: Message): Promise<void> {
  const conversation = state.conversations.value.find((c) => c.id === id);
  const question = before[0];
  if (!conversation || conversation.titleFrom !== 'text' || before.length > 1 || !question || server.value?.small !== false) return;
  const reply = await postJson<{ choices?: { message?: { content?: string } }[] }>('v1/chat/completions', {
    model: server.value.model,
    messages: [{ role: 'user', content: titlePrompt(question, result) }],
    max_tokens: 24,
    temperature: 0,
    chat_template_kwargs: { enable_thinking: false },
  }).catch(() => null);
  const title = cleanTitle(reply?.choices?.[0]?.message?.content ?? '');
  const now = state.conversations.value.find((c) => c.id === id);
  if (title && now?.titleFrom === 'text') await state.saveConversation({ ...now, title, titleFrom: 'model' });
}

export async function branch(id: string, step: 1 | -1): Promise<void> {
  const conversation = state.current.value;
  if (conversation) await state.changeConversation(conversation.id, { chosen: stepBranch(state.messages.value, conversation.chosen, id, step) });
}

export async function removeMessage(id: string): Promise<void> {
  const gone = subtree(state.messages.value, id);
  const live = currentLive.value;
  if (live && gone.includes(live.message.id)) return;
  await state.removeMessages(gone);
}
