import { useState } from 'preact/hooks';
import { apiKey, setApiKey } from '../net/api';
import { checkServer, link } from '../net/server';
import { strings } from '../strings';
import { Logo } from './icons';

const t = strings.key;

/** Instead of the page while the server wants a key. */
export function KeyDialog() {
  const [key, setKey] = useState('');
  const [tried, setTried] = useState(apiKey.value !== '');
  const submit = async () => {
    setApiKey(key.trim());
    await checkServer();
    setTried(link.value === 'key');
  };
  return (
    <main class="key-page">
      <form onSubmit={(event) => (event.preventDefault(), void submit())}>
        <Logo />
        <h1>{t.title}</h1>
        <p>{t.text}</p>
        {tried && (
          <p class="bad" role="alert">
            {t.wrong}
          </p>
        )}
        <label class="field tall">
          <span>{t.label}</span>
          <input type="password" autocomplete="current-password" autofocus value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        </label>
        <button type="submit" class="button primary" disabled={!key.trim()}>
          {t.connect}
        </button>
      </form>
    </main>
  );
}
