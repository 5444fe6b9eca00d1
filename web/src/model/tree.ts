import type { Conversation, Message } from './types';

export type Messages = ReadonlyMap<string, Message>;

const oldestFirst = (a: Message, b: Message) => a.created - b.created || (a.id < b.id ? -1 : 1);

/** Key '': the first messages. */
function byParent(messages: Messages): Map<string, Message[]> {
  const found = new Map<string, Message[]>();
  for (const message of messages.values()) {
    const key = message.parent ?? '';
    const list = found.get(key);
    if (list) list.push(message);
    else found.set(key, [message]);
  }
  return found;
}

/** Branches at one place, oldest first. */
export function siblings(messages: Messages, parent: string | null): Message[] {
  return [...messages.values()].filter((m) => m.parent === parent).sort(oldestFirst);
}

/** Of each message that is not alone in its place: which branch it is, from 0, and of how many. */
export function branchPlaces(messages: Messages): Map<string, { at: number; of: number }> {
  const places = new Map<string, { at: number; of: number }>();
  for (const branches of byParent(messages).values()) {
    if (branches.length > 1) branches.sort(oldestFirst).forEach((m, at) => places.set(m.id, { at, of: branches.length }));
  }
  return places;
}

/** The messages that are shown, first to last: at each place the chosen branch, else the newest. */
export function shownPath(messages: Messages, chosen: Conversation['chosen']): Message[] {
  const all = byParent(messages);
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let at = ''; ; ) {
    const branches = all.get(at);
    if (!branches) return path;
    const newest = branches.reduce((a, b) => (b.created >= a.created ? b : a));
    const next = branches.find((m) => m.id === chosen[at]) ?? newest;
    // Only a damaged import can have a circle.
    if (seen.has(next.id)) return path;
    seen.add(next.id);
    path.push(next);
    at = next.id;
  }
}

/** From the first message down to `id`, `id` included. */
export function pathTo(messages: Messages, id: string | null): Message[] {
  const path: Message[] = [];
  for (let at = id === null ? undefined : messages.get(id); at && path.length <= messages.size; ) {
    path.unshift(at);
    at = at.parent === null ? undefined : messages.get(at.parent);
  }
  return path;
}

/** `id` and all that follows it in any branch. */
export function subtree(messages: Messages, id: string): string[] {
  const found = [id];
  for (let i = 0; i < found.length; i++) {
    for (const message of messages.values()) if (message.parent === found[i] && !found.includes(message.id)) found.push(message.id);
  }
  return found;
}

/** `chosen` with the branch `step` (+1 newer, -1 older) beside `id`; the same object when there is none. */
export function stepBranch(messages: Messages, chosen: Conversation['chosen'], id: string, step: 1 | -1): Conversation['chosen'] {
  const message = messages.get(id);
  if (!message) return chosen;
  const branches = siblings(messages, message.parent);
  const next = branches[branches.findIndex((m) => m.id === id) + step];
  return next ? { ...chosen, [message.parent ?? '']: next.id } : chosen;
}
