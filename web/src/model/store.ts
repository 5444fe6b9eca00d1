import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { Conversation, Message } from './types';

interface MediaRecord {
  id: string;
  conversation: string;
  blob: Blob;
  created: number;
}
interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  messages: { key: string; value: Message; indexes: { conversation: string } };
  media: { key: string; value: MediaRecord; indexes: { conversation: string } };
}

let opened: Promise<IDBPDatabase<Schema>> | undefined;
function database(): Promise<IDBPDatabase<Schema>> {
  opened ??= openDB<Schema>('tessera', 1, {
    upgrade(db) {
      db.createObjectStore('conversations', { keyPath: 'id' });
      db.createObjectStore('messages', { keyPath: 'id' }).createIndex('conversation', 'conversation');
      db.createObjectStore('media', { keyPath: 'id' }).createIndex('conversation', 'conversation');
    },
    // Another tab wants a newer layout, or the browser closed the file: open again at the next use.
    blocking: (_old, _new, event) => {
      (event.target as IDBDatabase).close();
      opened = undefined;
    },
    terminated: () => (opened = undefined),
  });
  return opened;
}

export const newId = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
};

export async function listConversations(): Promise<Conversation[]> {
  const all = await (await database()).getAll('conversations');
  return all.sort((a, b) => b.updated - a.updated);
}
export const putConversation = async (conversation: Conversation) => void (await (await database()).put('conversations', conversation));

export async function messagesOf(conversation: string): Promise<Message[]> {
  return (await database()).getAllFromIndex('messages', 'conversation', conversation);
}
export const allMessages = async (): Promise<Message[]> => (await database()).getAll('messages');
export const putMessage = async (message: Message) => void (await (await database()).put('messages', message));

/** Media that only these messages used stay until the conversation goes: another branch may show them. */
export async function deleteMessages(ids: string[]): Promise<void> {
  const transaction = (await database()).transaction('messages', 'readwrite');
  await Promise.all([...ids.map((id) => transaction.store.delete(id)), transaction.done]);
}

export async function putMedia(conversation: string, blob: Blob): Promise<string> {
  const id = newId();
  await (await database()).put('media', { id, conversation, blob, created: Date.now() });
  return id;
}
/** A draft may be sent in another conversation than the one where its files were added; they go when that one goes. */
export async function adoptMedia(conversation: string, ids: string[]): Promise<void> {
  const transaction = (await database()).transaction('media', 'readwrite');
  for (const id of ids) {
    const record = await transaction.store.get(id);
    if (record && record.conversation !== conversation) await transaction.store.put({ ...record, conversation });
  }
  await transaction.done;
}
export async function getMedia(id: string): Promise<Blob | undefined> {
  return (await (await database()).get('media', id))?.blob;
}

export async function deleteConversation(id: string): Promise<void> {
  const transaction = (await database()).transaction(['conversations', 'messages', 'media'], 'readwrite');
  await transaction.objectStore('conversations').delete(id);
  for (const name of ['messages', 'media'] as const) {
    for (const key of await transaction.objectStore(name).index('conversation').getAllKeys(id)) {
      await transaction.objectStore(name).delete(key);
    }
  }
  await transaction.done;
}

const dayMs = 86400000;
/** Files of messages that were never sent; a day old, since another tab may be writing one. */
export async function deleteOrphans(): Promise<void> {
  const transaction = (await database()).transaction(['conversations', 'media'], 'readwrite');
  const known = new Set(await transaction.objectStore('conversations').getAllKeys());
  for (let cursor = await transaction.objectStore('media').openCursor(); cursor; cursor = await cursor.continue()) {
    if (!known.has(cursor.value.conversation) && cursor.value.created < Date.now() - dayMs) await cursor.delete();
  }
  await transaction.done;
}

/** All or nothing; an existing conversation of the same id is replaced. */
export async function putWhole(conversation: Conversation, messages: Message[], media: MediaRecord[]): Promise<void> {
  const transaction = (await database()).transaction(['conversations', 'messages', 'media'], 'readwrite');
  await Promise.all([
    transaction.objectStore('conversations').put(conversation),
    ...messages.map((m) => transaction.objectStore('messages').put(m)),
    ...media.map((m) => transaction.objectStore('media').put(m)),
    transaction.done,
  ]);
}
