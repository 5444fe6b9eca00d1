import { strings } from '../strings';
import type { Attachment, Message } from './types';

export function titleFromText(text: string, attachments: Attachment[]): string {
  const line = text.trim().replace(/\s+/g, ' ');
  const title = line || attachments[0]?.name || strings.newChat;
  return title.length > 60 ? `${title.slice(0, 57).trimEnd()}…` : title;
}

/** What a model made of the wish for a title: one line, no quotes, no full stop. '' when it is none. */
export function cleanTitle(reply: string): string {
  const line = reply.split('\n').map((l) => l.trim()).find(Boolean) ?? '';
  const title = line.replace(/^(title|#+)\s*:?\s*/i, '').replace(/^["'“”*_`]+|["'“”*_`.]+$/g, '').trim();
  return title.length > 80 ? '' : title;
}

/** Asks for a title; the texts are cut, so that it costs little. */
export function titlePrompt(question: Message, answer: Message): string {
  const files = question.attachments.map((a) => `[${a.kind}: ${a.name}]`).join(' ');
  return `Write a title of at most six words, in the language of the conversation, for:\n\nUser: ${files} ${question.text.slice(0, 1000)}\n\nAssistant: ${answer.text.slice(0, 1000)}\n\nAnswer with the title only.`;
}
