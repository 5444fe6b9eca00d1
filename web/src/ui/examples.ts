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
  /** What goes with the prompt, of ../../../examples; build/source_hash.ts has the list. */
  files?: readonly Shipped[];
  /** Instead of sending that. */
  act?: () => unknown;
  needs?: readonly ('vision' | 'audio')[];
}
type Shipped = readonly [name: string, type: string];

const departures: Shipped = ['departures.png', 'image/png'];
const board: Example = { icon: 'board', words: t.board, files: [departures], needs: ['vision'] };

/** Of the small default model. */
export const smallExamples: Example[] = [
  board,
  { icon: 'search', words: t.ask, files: [departures], needs: ['vision'] },
  { icon: 'mic', words: t.aloud, files: [departures, ['question.wav', 'audio/wav']], needs: ['vision', 'audio'] },
  { icon: 'smile', words: t.pictures, files: [['pictures.png', 'image/png']], needs: ['vision'] },
  { icon: 'wave', words: t.digits, files: [['digits.wav', 'audio/wav']], needs: ['audio'] },
];
/** Of Gemma 4 12B. */
export const bigExamples: Example[] = [
  { icon: 'camera', words: t.describe, act: describeChosen, needs: ['vision'] },
  board,
  { icon: 'mic', words: t.speak, act: openRecorder, needs: ['audio'] },
  { icon: 'bulb', words: t.explain },
];

export const shownExamples = (examples: Example[], info: ServerInfo | null): Example[] =>
  examples.filter(({ needs = [] }) => needs.every((kind) => info?.[kind] ?? true));

let trying = false;

export async function tryExample({ words, files = [], act }: Example): Promise<void> {
  if (act) return void act();
  if (trying) return; // a double click
  trying = true;
  try {
    const found = await Promise.all(files.map(fetched));
    await sendWith(found, words.prompt ?? '');
  } catch {
    toast(strings.errors.unreachable, true);
  } finally {
    trying = false;
  }
}

async function describeChosen(): Promise<void> {
  const chosen = await pickFiles('image/*', false);
  if (chosen.length) await sendWith(chosen, t.describe.prompt);
}

/** Until it is on its way; the answer is not waited for. */
export async function sendWith(files: File[], text: string): Promise<void> {
  await addFiles(files);
  draftText.value = text;
  void sendDraft();
}

async function fetched([name, type]: Shipped): Promise<File> {
  const response = await fetch(new URL(`examples/${name}`, document.baseURI));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return new File([await response.blob()], name, { type });
}

/** Large dark letters on light ground, 4:3: what the small model was trained to read. */
export async function drawnWords(words: string): Promise<File> {
  const canvas = new OffscreenCanvas(960, 720);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.fillStyle = '#f3efe6';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = '#23324a';
  context.textBaseline = 'middle';
  const lines = wrap(words, 20).slice(0, 5);
  const size = Math.min(96, 1500 / Math.max(8, ...lines.map((l) => l.length)));
  context.font = `600 ${size}px "DejaVu Sans", Verdana, sans-serif`;
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
