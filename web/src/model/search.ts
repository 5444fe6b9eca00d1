import type { Conversation, Message } from './types';

export interface Found {
  conversation: Conversation;
  /** Text around the first hit; '' when the title matched. */
  excerpt: string;
}

const plain = (text: string) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

/** Conversations that have every word of `query` in title, texts or names of files; order of `conversations`. */
export function search(query: string, conversations: Conversation[], messages: Message[]): Found[] {
  const words = plain(query).split(/\s+/).filter(Boolean);
  if (!words.length) return conversations.map((conversation) => ({ conversation, excerpt: '' }));
  const texts = new Map<string, string[]>();
  for (const m of messages) {
    const list = texts.get(m.conversation) ?? [];
    list.push(m.text, ...m.attachments.map((a) => a.name));
    texts.set(m.conversation, list);
  }
  const found: Found[] = [];
  for (const conversation of conversations) {
    const title = plain(conversation.title);
    const all = texts.get(conversation.id) ?? [];
    const whole = [title, ...all.map(plain)].join('\n');
    if (!words.every((word) => whole.includes(word))) continue;
    const hit = all.find((text) => words.some((word) => plain(text).includes(word)));
    found.push({ conversation, excerpt: words.every((word) => title.includes(word)) || !hit ? '' : excerptOf(hit, words) });
  }
  return found;
}

function excerptOf(text: string, words: string[]): string {
  const line = text.replace(/\s+/g, ' ');
  const at = Math.max(0, Math.min(...words.map((w) => plain(line).indexOf(w)).filter((i) => i >= 0), line.length));
  const from = Math.max(0, at - 24);
  return (from ? '…' : '') + line.slice(from, from + 90) + (from + 90 < line.length ? '…' : '');
}
