import { useEffect, useRef, useState } from 'preact/hooks';
import { apiKey, setApiKey } from '../net/api';
import { checkServer, link } from '../net/server';
import { strings } from '../strings';
import { Logo } from './icons';

const t = strings.key;

/** Instead of the page while the server wants a key. */
export function KeyDialog() {
  const [key, setKey] = useState('');
  const [tried, setTried] = useState(apiKey.value !== '');
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = async () => {
    setApiKey(key.trim());
    await checkServer(true);
    if (link.value !== 'key') return;
    setTried(true);
    input.current?.select();
  };
  return (
    <main class="key-page">
      <form onSubmit={(event) => (event.preventDefault(), void submit())}>
        <Logo />
        <h1>{t.title}</h1>
        <p id="key-text">{t.text}</p>
        {tried && (
          <p class="bad" role="alert">
            {t.wrong}
          </p>
        )}
        <label class="field tall">
          <span>{t.label}</span>
          <input type="password" autocomplete="current-password" ref={input} aria-describedby="key-text" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        </label>
        <button type="submit" class="button primary" disabled={!key.trim()}>
          {t.connect}
        </button>
      </form>
    </main>
  );
}
