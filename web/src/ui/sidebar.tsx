import { useEffect, useRef, useState } from 'preact/hooks';
import { lives, open } from '../model/chat';
import { changeConversation, conversations, currentId, loadAll, messages } from '../model/state';
import { allMessages, deleteConversation } from '../model/store';
import { search, type Found } from '../model/search';
import { exportConversations, importConversations, parseExport } from '../model/transfer';
import type { Conversation, Message } from '../model/types';
import { strings } from '../strings';
import { go, goStatus } from './route';
import { Icon, IconButton, Logo, type IconName } from './icons';
import { download, narrow, page, pickFiles, question, settingsOpen, sidebarOpen, toast } from './view';

const day = 86400000;
function groupOf(time: number, now = new Date()): string {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  if (time >= midnight) return strings.today;
  if (time >= midnight - day) return strings.yesterday;
  return time >= midnight - 7 * day ? strings.week : strings.earlier;
}

const fileName = (title: string) => `${title.replace(/[^\p{L}\p{N} _-]+/gu, '').trim().slice(0, 60) || strings.exportName}.json`;

async function exportFile(list: Conversation[], title: string): Promise<void> {
  const file = await exportConversations(list);
  download(fileName(title), new Blob([JSON.stringify(file)], { type: 'application/json' }));
}

async function importFiles(): Promise<void> {
  try {
    let n = 0;
    for (const file of await pickFiles('application/json,.json', true)) n += (await importConversations(parseExport(await file.text()))).length;
    await loadAll();
    if (n) toast(strings.imported(n));
  } catch (error) {
    toast((error as Error).message, true);
  }
}

export async function removeConversation(conversation: Conversation): Promise<void> {
  await deleteConversation(conversation.id);
  await loadAll();
  if (currentId.value === conversation.id) go(null);
}

function Entry({ found }: { found: Found }) {
  const { conversation, excerpt } = found;
  const [menu, setMenu] = useState(false);
  const [renaming, setRenaming] = useState(false);
  const menuRef = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!menu) return;
    menuRef.current?.querySelector('button')?.focus();
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key !== 'Escape' : menuRef.current?.contains(event.target as Node)) return;
      setMenu(false);
      if (!(event instanceof KeyboardEvent)) return;
      event.stopPropagation();
      menuRef.current?.closest('.entry')?.querySelector<HTMLElement>('[aria-expanded]')?.focus();
    };
    addEventListener('pointerdown', close);
    addEventListener('keydown', close, true);
    return () => (removeEventListener('pointerdown', close), removeEventListener('keydown', close, true));
  }, [menu]);
  const rename = (title: string) => {
    setRenaming(false);
    if (title.trim() && title.trim() !== conversation.title) void changeConversation(conversation.id, { title: title.trim(), titleFrom: 'user' });
  };
  const act = (action: () => unknown) => () => (setMenu(false), void action());
  const remove = () =>
    (question.value = {
      title: strings.deleteChatTitle,
      text: strings.deleteChatText(conversation.title),
      yes: strings.delete,
      act: () => removeConversation(conversation),
    });
  if (renaming) {
    return (
      <li>
        <input
          class="rename"
          aria-label={strings.titleLabel}
          defaultValue={conversation.title}
          ref={(input) => input?.select()}
          onBlur={(event) => rename(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') rename(event.currentTarget.value);
            if (event.key === 'Escape') event.stopPropagation(), (event.currentTarget.value = conversation.title), setRenaming(false);
          }}
        />
      </li>
    );
  }
  const here = currentId.value === conversation.id && page.value === 'chat';
  return (
    <li class={`entry ${here ? 'here' : ''}`}>
      <a href={`#/c/${conversation.id}`} aria-current={here ? 'page' : undefined} onClick={() => narrow.value && (sidebarOpen.value = false)}>
        <span class="entry-title">{conversation.title}</span>
        {excerpt && <small>{excerpt}</small>}
        {lives.value.has(conversation.id) && <span class="busy-dot" role="img" aria-label={strings.status.busy} />}
      </a>
      <IconButton icon="more" label={`${strings.chatActions}: ${conversation.title}`} expanded={menu} onClick={() => setMenu(!menu)} />
      {menu && (
        <div class="menu" ref={menuRef}>
          <button type="button" onClick={act(() => setRenaming(true))}>
            <Icon name="edit" /> {strings.rename}
          </button>
          <button type="button" onClick={act(() => exportFile([conversation], conversation.title))}>
            <Icon name="download" /> {strings.export}
          </button>
          <button type="button" class="danger" onClick={act(remove)}>
            <Icon name="bin" /> {strings.delete}
          </button>
        </div>
      )}
    </li>
  );
}

const t = strings.foot;

function FootButton(props: { icon: IconName; words: string; label: string; disabled?: boolean; onClick: () => unknown }) {
  return (
    <button type="button" title={props.label} disabled={props.disabled ?? false} onClick={() => void props.onClick()}>
      <Icon name={props.icon} /> {props.words}
    </button>
  );
}

export function Sidebar() {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone it lies over the page.
    if (!narrow.value) return;
    nav.current?.querySelector('button')?.focus();
    return () => document.querySelector<HTMLElement>('.top button')?.focus();
  }, []);
  const [query, setQuery] = useState('');
  const [texts, setTexts] = useState<Message[]>([]);
  useEffect(() => {
    if (query) void allMessages().then(setTexts);
  }, [query !== '', messages.value]);
  const found = search(query, conversations.value, texts);
  const groups = new Map<string, Found[]>();
  for (const one of found) {
    const group = groupOf(one.conversation.updated);
    groups.set(group, [...(groups.get(group) ?? []), one]);
  }
  return (
    <nav class="sidebar" aria-label={strings.menu} ref={nav}>
      <div class="brand">
        <Logo /> <span>{strings.product}</span>
        <IconButton icon="menu" label={strings.closeMenu} onClick={() => (sidebarOpen.value = false)} />
      </div>
      <button type="button" class="button new-chat" onClick={() => (go(null), narrow.value && (sidebarOpen.value = false), void open(null))}>
        <Icon name="plus" /> {strings.newChat}
      </button>
      <label class="search">
        <Icon name="search" />
        <input id="search" type="search" aria-label={strings.search} placeholder={strings.search} value={query} onInput={(event) => setQuery(event.currentTarget.value)} />
      </label>
      <div class="chats">
        {!conversations.value.length && <p class="hint">{strings.noChats}</p>}
        {query && !found.length && <p class="hint">{strings.nothingFound(query)}</p>}
        {[...groups].map(([group, list]) => (
          <section key={group}>
            <h2>{group}</h2>
            <ul>
              {list.map((one) => (
                <Entry key={one.conversation.id} found={one} />
              ))}
            </ul>
          </section>
        ))}
      </div>
      <div class="sidebar-foot">
        <FootButton icon="pulse" words={t.status} label={strings.status.open} onClick={goStatus} />
        <FootButton icon="sliders" words={t.settings} label={strings.settings.open} onClick={() => (settingsOpen.value = true)} />
        <FootButton icon="upload" words={t.import} label={strings.import} onClick={importFiles} />
        <FootButton icon="download" words={t.exportAll} label={strings.exportAll} disabled={!conversations.value.length} onClick={() => exportFile(conversations.value, strings.exportName)} />
      </div>
    </nav>
  );
}
