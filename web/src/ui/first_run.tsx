import { useState } from 'preact/hooks';
import { link, server, type ServerInfo } from '../net/server';
import { strings } from '../strings';
import { focusComposer } from './composer';
import { bigExamples, drawnWords, sendWith, shownExamples, smallExamples, tryExample, type Example } from './examples';
import { Icon } from './icons';
import { copyText, toast } from './view';

const t = strings.first;

function Card({ example }: { example: Example }) {
  return (
    <button type="button" class="card" onClick={() => void tryExample(example)}>
      <Icon name={example.icon} />
      <strong>{example.words.title}</strong>
      <span>{example.words.text}</span>
    </button>
  );
}

function WriteCard() {
  const [words, setWords] = useState(t.writeSample);
  return (
    <form class="card write" onSubmit={(event) => (event.preventDefault(), void drawnWords(words).then((file) => sendWith([file], t.writePrompt)))}>
      <Icon name="pen" />
      <strong>{t.write}</strong>
      <span>{t.writeText}</span>
      <div class="write-row">
        <input aria-label={t.writeLabel} maxLength={80} value={words} onInput={(event) => setWords(event.currentTarget.value)} />
        <button type="submit" class="button" disabled={!words.trim()}>
          {t.writeDone}
        </button>
      </div>
    </form>
  );
}

function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code tabindex={0}>{text}</code>
      <button type="button" class="button quiet" onClick={() => void copyText(text).then((done) => done && toast(strings.message.copied))}>
        {strings.message.copy}
      </button>
    </div>
  );
}

function Small({ info }: { info: ServerInfo }) {
  return (
    <>
      <h2>{t.helloSmall}</h2>
      <p class="lead">
        <strong>{t.smallTitle}.</strong> {t.smallText(t.parameters(info.parameters || 41.7e6))}
      </p>
      <div class="cards">
        {shownExamples(smallExamples, info).map((example) => (
          <Card key={example.words.title} example={example} />
        ))}
        <WriteCard />
      </div>
      <aside class="bigger">
        <h3>{t.bigTitle}</h3>
        <p>
          {t.bigDownload}{' '}
          <a href={t.bigAddress} target="_blank" rel="noopener noreferrer">
            {t.bigName}
          </a>
          {t.bigStart}
        </p>
        <Command text={t.bigCommand} />
        <p class="hint">{t.bigMemory}</p>
      </aside>
    </>
  );
}

/** Before anything was heard of the server nothing is promised: it may have the small model. */
function Unknown() {
  if (link.value !== 'gone') return <h2 class="shimmer">{strings.link.connecting}</h2>;
  return (
    <>
      <h2>{strings.link.never}</h2>
      <p class="lead">{strings.link.neverText}</p>
      <Command text={strings.link.neverCommand} />
    </>
  );
}

function Big({ info }: { info: ServerInfo }) {
  return (
    <>
      <h2>{t.hello}</h2>
      <p class="lead">{t.intro}</p>
      <div class="cards">
        {shownExamples(bigExamples, info).map((example) => (
          <Card key={example.words.title} example={example} />
        ))}
      </div>
    </>
  );
}

export function FirstRun() {
  const info = server.value;
  return (
    <div class="first" onClick={(event) => event.target === event.currentTarget && focusComposer()}>
      {!info ? <Unknown /> : info.small ? <Small info={info} /> : <Big info={info} />}
    </div>
  );
}
