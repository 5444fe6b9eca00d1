import { computed, signal } from '@preact/signals';
import * as store from './store';
import { branchPlaces, shownPath, type Messages } from './tree';
import { defaultSettings, type Conversation, type Message } from './types';

/** What is on screen. The store has the same on disk; every change goes to both. */
export const conversations = signal<Conversation[]>([]);
export const currentId = signal<string | null>(null);
export const messages = signal<Messages>(new Map());
/** For the next new conversation. */
export const draftSettings = signal({ ...defaultSettings });
export const draftSystem = signal('');
/** The id that the next new conversation gets: its files are kept under it before it is there. */
export const draftId = signal(store.newId());

export const current = computed(() => conversations.value.find((c) => c.id === currentId.value) ?? null);
export const path = computed(() => shownPath(messages.value, current.value?.chosen ?? {}));
export const places = computed(() => branchPlaces(messages.value));
export const settings = computed(() => current.value?.settings ?? draftSettings.value);

export async function loadAll(): Promise<void> {
  conversations.value = await store.listConversations();
}

const byNewest = (a: Conversation, b: Conversation) => b.updated - a.updated;

export async function saveConversation(conversation: Conversation): Promise<void> {
  const others = conversations.value.filter((c) => c.id !== conversation.id);
  conversations.value = [conversation, ...others].sort(byNewest);
  await store.putConversation(conversation);
}

/** Changes `id` by what `change` returns, as it stands now: several writers may wait for the store at once. */
export async function changeConversation(id: string, change: Partial<Conversation>): Promise<void> {
  const conversation = conversations.value.find((c) => c.id === id);
  if (conversation) await saveConversation({ ...conversation, ...change });
}

export async function createConversation(title: string): Promise<Conversation> {
  const now = Date.now();
  const conversation: Conversation = {
    id: draftId.value,
    title,
    titleFrom: 'text',
    created: now,
    updated: now,
    system: draftSystem.value,
    settings: { ...draftSettings.value },
    chosen: {},
  };
  draftId.value = store.newId();
  messages.value = new Map();
  currentId.value = conversation.id;
  await saveConversation(conversation);
  return conversation;
}

/** On screen at once when its conversation is, on disk always. */
export async function saveMessage(message: Message): Promise<void> {
  if (message.conversation === currentId.value) messages.value = new Map(messages.value).set(message.id, message);
  await store.putMessage(message);
}

export async function removeMessages(ids: string[]): Promise<void> {
  const left = new Map(messages.value);
  ids.forEach((id) => left.delete(id));
  messages.value = left;
  await store.deleteMessages(ids);
}

let opening = 0;
/** isLive: whether a reply is being written to that message; others that say so were left by a closed page. */
export async function openConversation(id: string | null, isLive: (message: string) => boolean): Promise<void> {
  const turn = ++opening;
  if (id === currentId.value) return;
  const list = id ? await store.messagesOf(id) : [];
  // Another was asked for while this one was read.
  if (turn !== opening) return;
  messages.value = new Map(list.map((m) => [m.id, m.state === 'streaming' && !isLive(m.id) ? { ...m, state: 'lost' as const } : m]));
  currentId.value = id;
}
