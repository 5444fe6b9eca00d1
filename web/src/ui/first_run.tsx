import { useState } from 'preact/hooks';
import { server } from '../net/server';
import { strings } from '../strings';
import { addFiles, draftText, sendDraft } from './draft';
import { focusComposer } from './composer';
import { Icon, type IconName } from './icons';
import { copyText, pickFiles, toast } from './view';

const t = strings.first;

async function sendWith(file: File, text: string): Promise<void> {
  await addFiles([file]);
  draftText.value = text;
  await sendDraft();
}

async function exampleBoard(): Promise<void> {
  const response = await fetch(new URL('examples/departures.png', document.baseURI)).catch(() => null);
  if (!response?.ok) return toast(strings.errors.unreachable, true);
  await sendWith(new File([await response.blob()], 'departures.png', { type: 'image/png' }), t.boardPrompt);
}

/** Large dark letters on light ground, 4:3: what the small model was trained to read. */
async function drawn(words: string): Promise<File> {
  const canvas = new OffscreenCanvas(960, 720);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.fillStyle = '#f3efe6';
  context.fillRect(0, 0, 960, 720);
  context.fillStyle = '#23324a';
  const lines = wrap(words, 20).slice(0, 5);
  const size = Math.min(96, 1500 / Math.max(8, ...lines.map((l) => l.length)));
  context.font = `600 ${size}px "DejaVu Sans", Verdana, sans-serif`;
  context.textBaseline = 'middle';
  lines.forEach((line, i) => context.fillText(line, 70, 360 + (i - (lines.length - 1) / 2) * size * 1.5));
  return new File([await canvas.convertToBlob({ type: 'image/png' })], 'words.png', { type: 'image/png' });
}

export function wrap(words: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of words.trim().split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function Card(props: { icon: IconName; title: string; text: string; onClick: () => unknown }) {
  return (
    <button type="button" class="card" onClick={() => void props.onClick()}>
      <Icon name={props.icon} />
      <strong>{props.title}</strong>
      <span>{props.text}</span>
    </button>
  );
}

function WriteCard() {
  const [words, setWords] = useState(t.writeSample);
  return (
    <form class="card write" onSubmit={(event) => (event.preventDefault(), void drawn(words).then((file) => sendWith(file, t.writePrompt)))}>
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

const millions = (n: number) => (n >= 1e9 ? `${(n / 1e9).toFixed(1)} billion` : `${(n / 1e6).toFixed(0)} million`);

function Small({ parameters }: { parameters: number }) {
  return (
    <>
      <h2>{t.helloSmall}</h2>
      <p class="lead">
        <strong>{t.smallTitle}.</strong> {t.smallText(millions(parameters))}
      </p>
      <div class="cards">
        <Card icon="board" title={t.board} text={t.boardText} onClick={exampleBoard} />
        <WriteCard />
      </div>
      <aside class="bigger">
        <h3>{t.bigTitle}</h3>
        <p>{t.bigText}</p>
        <div class="command">
          <code>{t.bigCommand}</code>
          <button type="button" class="button quiet" onClick={() => void copyText(t.bigCommand).then((done) => done && toast(strings.message.copied))}>
            {strings.message.copy}
          </button>
        </div>
      </aside>
    </>
  );
}

function Big() {
  const ask = (text: string) => () => ((draftText.value = text), sendDraft());
  const describe = async () => {
    const [file] = await pickFiles('image/*', false);
    if (file) await sendWith(file, t.describePrompt);
  };
  const info = server.value;
  return (
    <>
      <h2>{t.hello}</h2>
      <p class="lead">{t.intro}</p>
      <div class="cards">
        {(info?.vision ?? true) && <Card icon="camera" title={t.describe} text={t.describeText} onClick={describe} />}
        {(info?.vision ?? true) && <Card icon="board" title={t.board} text={t.boardText} onClick={exampleBoard} />}
        {(info?.audio ?? true) && (
          <Card icon="mic" title={t.speak} text={t.speakText} onClick={() => document.querySelector<HTMLButtonElement>(`button[aria-label="${strings.composer.microphone}"]`)?.click()} />
        )}
        <Card icon="bulb" title={t.explain} text={t.explainText} onClick={ask(t.explainPrompt)} />
      </div>
    </>
  );
}

export function FirstRun() {
  const info = server.value;
  return (
    <div class="first" onClick={(event) => event.target === event.currentTarget && focusComposer()}>
      {info?.small ? <Small parameters={info.parameters || 41.7e6} /> : <Big />}
    </div>
  );
}
