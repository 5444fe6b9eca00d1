import { open } from '../model/chat';
import { conversations, currentId } from '../model/state';
import { narrow, page, sidebarOpen } from './view';

/** #/ a new chat, #/c/ID a chat, #/status. Back and forward work. */
export function go(conversation: string | null): void {
  location.hash = conversation ? `#/c/${conversation}` : '#/';
}
export function goStatus(): void {
  location.hash = '#/status';
  if (narrow.value) sidebarOpen.value = false;
}

export function follow(): void {
  const [, kind, id] = location.hash.split('/');
  page.value = kind === 'status' ? 'status' : 'chat';
  if (page.value === 'status') return;
  const known = kind === 'c' && conversations.value.some((c) => c.id === id);
  void open(known ? (id as string) : null);
}

export function watchRoute(): void {
  addEventListener('hashchange', follow);
  follow();
  // A new chat gets its address when it gets its first message.
  currentId.subscribe((id) => {
    if (id && page.value === 'chat' && location.hash !== `#/c/${id}`) history.replaceState(null, '', `#/c/${id}`);
  });
}
