import type { ServerInfo } from '../net/server';
import { strings } from '../strings';
import { addFiles, draftText, sendDraft } from './draft';
import type { IconName } from './icons';
import { openRecorder, pickFiles, toast } from './view';

const t = strings.first;

/** Something to try with one click. */
export interface Example {
  icon: IconName;
  words: { title: string; text: string; prompt?: string };
  /** What goes with the prompt, which goes alone without it; null: nothing was chosen. */
  file?: () => Promise<File | null>;
  /** Instead of sending something. */
  act?: () => unknown;
  needs?: 'vision' | 'audio';
  /** Not until the model has learned it. */
  waits?: true;
}

const board: Example = { icon: 'board', words: t.board, file: () => fetched('departures.png', 'image/png'), needs: 'vision' };

/** Of the small default model. */
export const smallExamples: Example[] = [
  board,
  { icon: 'smile', words: t.emoji, file: () => drawnEmoji('🐈🚲🍎'), needs: 'vision', waits: true },
  { icon: 'mic', words: t.digits, file: () => fetched('digits.wav', 'audio/wav'), needs: 'audio', waits: true }, // with examples/digits.wav
];
/** Of Gemma 4 12B. */
export const bigExamples: Example[] = [
  { icon: 'camera', words: t.describe, file: async () => (await pickFiles('image/*', false))[0] ?? null, needs: 'vision' },
  board,
  { icon: 'mic', words: t.speak, act: openRecorder, needs: 'audio' },
  { icon: 'bulb', words: t.explain },
];

export const shownExamples = (examples: Example[], info: ServerInfo | null): Example[] =>
  examples.filter(({ needs, waits }) => !waits && (!needs || (info?.[needs] ?? true)));

export async function tryExample({ words, file, act }: Example): Promise<void> {
  if (act) return void act();
  const found = file ? await file() : undefined;
  if (found !== null) await sendWith(found ? [found] : [], words.prompt ?? '');
}

export async function sendWith(files: File[], text: string): Promise<void> {
  await addFiles(files);
  draftText.value = text;
  await sendDraft();
}

async function fetched(name: string, type: string): Promise<File | null> {
  const response = await fetch(new URL(`examples/${name}`, document.baseURI)).catch(() => null);
  if (response?.ok) return new File([await response.blob()], name, { type });
  toast(strings.errors.unreachable, true);
  return null;
}

/** 4:3, what the small model was trained to read. */
async function card(width: number, height: number, draw: (context: OffscreenCanvasRenderingContext2D) => void, name: string): Promise<File> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.fillStyle = '#f3efe6';
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#23324a';
  context.textBaseline = 'middle';
  draw(context);
  return new File([await canvas.convertToBlob({ type: 'image/png' })], name, { type: 'image/png' });
}

/** Large dark letters on light ground. */
export const drawnWords = (words: string): Promise<File> =>
  card(960, 720, (context) => {
    const lines = wrap(words, 20).slice(0, 5);
    const size = Math.min(96, 1500 / Math.max(8, ...lines.map((l) => l.length)));
    context.font = `600 ${size}px "DejaVu Sans", Verdana, sans-serif`;
    lines.forEach((line, i) => context.fillText(line, 70, 360 + (i - (lines.length - 1) / 2) * size * 1.5));
  }, 'words.png');

const drawnEmoji = (emoji: string): Promise<File> =>
  card(960, 720, (context) => {
    context.font = '200px "Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji", sans-serif';
    context.textAlign = 'center';
    [...emoji].forEach((one, i, all) => context.fillText(one, (960 * (i + 0.5)) / all.length, 360));
  }, 'emoji.png');

export function wrap(words: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of words.trim().split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
