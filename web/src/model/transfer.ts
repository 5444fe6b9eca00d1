import { fromBase64, toBase64 } from '../media/base64';
import { strings } from '../strings';
import { getMedia, messagesOf, newId, putWhole } from './store';
import { defaultSettings, type Conversation, type Message } from './types';

/** The export's layout. media: base64 by key. Read by this page only, so it may grow: readers ignore what they do not know. */
export interface ExportFile {
  tessera: 1;
  conversations: { conversation: Conversation; messages: Message[]; media: Record<string, { mime: string; data: string }> }[];
}

export async function exportConversations(conversations: Conversation[]): Promise<ExportFile> {
  const file: ExportFile = { tessera: 1, conversations: [] };
  for (const conversation of conversations) {
    const messages = await messagesOf(conversation.id);
    const media: Record<string, { mime: string; data: string }> = {};
    for (const attachment of messages.flatMap((m) => m.attachments)) {
      if (attachment.kind === 'text' || media[attachment.media]) continue;
      const blob = await getMedia(attachment.media);
      if (blob) media[attachment.media] = { mime: blob.type || attachment.mime, data: await toBase64(blob) };
    }
    file.conversations.push({ conversation, messages, media });
  }
  return file;
}

const kinds = new Set(['image', 'audio', 'video', 'text']);
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws Error with the place and the reason. What it returns has the fields that the page relies on. */
export function parseExport(json: string): ExportFile {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new Error(strings.errors.importJson((error as Error).message));
  }
  if (!isRecord(value) || value['tessera'] !== 1 || !Array.isArray(value['conversations'])) {
    throw new Error(strings.errors.importKind);
  }
  for (const [i, entry] of value['conversations'].entries()) {
    const conversation = isRecord(entry) ? entry['conversation'] : undefined;
    const messages = isRecord(entry) ? entry['messages'] : undefined;
    if (!isRecord(conversation) || typeof conversation['title'] !== 'string' || !Array.isArray(messages)) {
      throw new Error(strings.errors.importChat(i + 1));
    }
    for (const [j, message] of messages.entries()) {
      const sound =
        isRecord(message) && typeof message['id'] === 'string' && typeof message['text'] === 'string' &&
        (message['role'] === 'user' || message['role'] === 'assistant') && Array.isArray(message['attachments']) && message['attachments'].every((a) => isRecord(a) && kinds.has(a['kind'] as string)) &&
        (message['parent'] === null || typeof message['parent'] === 'string');
      if (!sound) throw new Error(strings.errors.importMessage(j + 1, i + 1, conversation['title']));
    }
  }
  return value as unknown as ExportFile;
}

function bytesOf(base64: string, place: number, title: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(base64);
  } catch {
    throw new Error(strings.errors.importMedia(place + 1, title));
  }
}

/** Imported conversations get new ids: importing twice gives two, and nothing is overwritten. */
export async function importConversations(file: ExportFile, now = Date.now()): Promise<Conversation[]> {
  const added: Conversation[] = [];
  for (const [i, entry] of file.conversations.entries()) {
    const id = newId();
    const renamed = new Map<string, string>();
    const fresh = (old: string) => renamed.get(old) ?? (renamed.set(old, newId()), renamed.get(old) as string);
    const media = Object.entries(entry.media ?? {}).map(([key, { mime, data }]) => ({
      id: fresh(key),
      conversation: id,
      blob: new Blob([bytesOf(data, i, entry.conversation.title)], { type: mime }),
      created: now,
    }));
    const messages = entry.messages.map((m, place) => ({
      ...m,
      created: Number.isFinite(m.created) ? m.created : place,
      id: fresh(m.id),
      conversation: id,
      parent: m.parent === null ? null : fresh(m.parent),
      attachments: m.attachments.map((a) => (a.kind === 'text' ? a : { ...a, media: fresh(a.media) })),
    }));
    const chosen = Object.fromEntries(Object.entries(entry.conversation.chosen ?? {}).map(([from, to]) => [from && fresh(from), fresh(to)]));
    const conversation: Conversation = {
      ...entry.conversation,
      id,
      chosen,
      created: entry.conversation.created ?? now,
      updated: now,
      system: entry.conversation.system ?? '',
      settings: { ...defaultSettings, ...entry.conversation.settings },
    };
    await putWhole(conversation, messages, media);
    added.push(conversation);
  }
  return added;
}
