import { useEffect } from 'preact/hooks';
import { currentLive, stop } from '../model/chat';
import { current } from '../model/state';
import { link, returns, server } from '../net/server';
import { strings } from '../strings';
import { Composer, focusComposer } from './composer';
import { QuestionDialog } from './dialog';
import { addFiles } from './draft';
import { IconButton } from './icons';
import { Inspector } from './inspector';
import { KeyDialog } from './key_dialog';
import { MemoryCard } from './memory';
import { go, goStatus } from './route';
import { SettingsPanel } from './settings_panel';
import { Sidebar } from './sidebar';
import { ContextGauge } from './stats';
import { StatusPage } from './status_page';
import { Thread } from './thread';
import { TokenView } from './token_view';
import { device, dismiss, inspected, memoryOpen, narrow, page, pickFiles, settingsOpen, sidebarOpen, toast, toasts, tokensOf } from './view';
import { acceptedFiles } from '../media/attach';

function LinkBanner() {
  const state = link.value;
  if (state !== 'gone' && state !== 'loading') return null;
  return (
    <div class={`banner ${state}`} role="status">
      {strings.link[state]}
    </div>
  );
}

function Header() {
  const title = page.value === 'status' ? strings.status.title : current.value?.title;
  useEffect(() => void (document.title = title ? `${title} – ${strings.product}` : strings.product), [title]);
  return (
    <header class="top">
      {!sidebarOpen.value && <IconButton icon="menu" label={strings.menu} expanded={false} onClick={() => (sidebarOpen.value = true)} />}
      {!sidebarOpen.value && <IconButton icon="plus" label={strings.newChat} onClick={() => go(null)} />}
      <h1 class="title">{title ?? strings.product}</h1>
      <span class="spacer" />
      {page.value === 'chat' && <ContextGauge />}
      {page.value === 'chat' && memoryOpen.value && <MemoryCard />}
      {server.value && (
        <button type="button" class="model-name" aria-label={`${strings.status.open}: ${server.value.model}`} title={strings.status.open} onClick={goStatus}>
          <span class={`link-dot ${link.value}`} />
          <span class="name">{server.value.model}</span>
        </button>
      )}
      {page.value === 'chat' && <IconButton icon="sliders" label={strings.settings.open} onClick={() => (settingsOpen.value = true)} />}
    </header>
  );
}

function useShortcuts(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (event.key === 'Escape' && !document.querySelector('dialog[open]') && (device.value || currentLive.value)) device.value ? (device.value = null) : stop();
      else if (event.key === 'Escape' && narrow.value && sidebarOpen.value && !document.querySelector('dialog[open]')) sidebarOpen.value = false;
      else if (!command) return;
      else if (event.shiftKey && key === 'o') go(null), focusComposer();
      else if (key === 'k') (sidebarOpen.value = true), setTimeout(() => document.getElementById('search')?.focus());
      else if (key === 'b') sidebarOpen.value = !sidebarOpen.value;
      else if (key === ',') settingsOpen.value = !settingsOpen.value;
      else if (key === 'u') void pickFiles(acceptedFiles, true).then(addFiles);
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

export function App() {
  useShortcuts();
  useEffect(() => returns.subscribe((n) => n > 0 && toast(strings.link.back)), []);
  if (link.value === 'key') return <KeyDialog />;
  return (
    <div class={`app ${sidebarOpen.value ? 'with-sidebar' : ''}`}>
      {page.value === 'chat' && (
        <a class="skip" href="#composer-text" onClick={(event) => (event.preventDefault(), focusComposer())}>
          {strings.skipToChat}
        </a>
      )}
      {sidebarOpen.value && <Sidebar />}
      {sidebarOpen.value && narrow.value && <div class="veil" onClick={() => (sidebarOpen.value = false)} />}
      <div class="main" inert={sidebarOpen.value && narrow.value}>
        <Header />
        <LinkBanner />
        {page.value === 'status' ? (
          <StatusPage />
        ) : (
          <>
            <Thread />
            <Composer />
          </>
        )}
      </div>
      {settingsOpen.value && <SettingsPanel />}
      {inspected.value && <Inspector attachment={inspected.value} />}
      {tokensOf.value && <TokenView message={tokensOf.value} />}
      <QuestionDialog />
      <div class="toasts" role="status" aria-live="polite">
        {toasts.value.map((one) => (
          <p key={one.id} class={`toast ${one.bad ? 'bad' : ''}`}>
            {one.text}
            {one.bad && <IconButton icon="close" label={strings.dismiss} onClick={() => dismiss(one.id)} />}
          </p>
        ))}
      </div>
    </div>
  );
}
