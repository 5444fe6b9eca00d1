import { signal } from '@preact/signals';
import type { MediaAttachment, Message } from '../model/types';

/** What is open on screen. */
export const page = signal<'chat' | 'status'>('chat');
export const narrow = signal(matchMedia('(max-width: 800px)').matches);
export const sidebarOpen = signal(!narrow.value);
export const settingsOpen = signal(false);
export const memoryOpen = signal(false);
export const inspected = signal<MediaAttachment | null>(null);
export const tokensOf = signal<Message | null>(null);
/** What is recording beside the message box. */
export const device = signal<'camera' | 'microphone' | null>(null);
export const openRecorder = () => void (device.value = 'microphone');
/** A finger is the pointer: nothing is dragged. */
export const touch = matchMedia('(pointer: coarse)').matches;

export interface Question {
  title: string;
  text: string;
  yes: string;
  act: () => unknown;
}
export const question = signal<Question | null>(null);

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
}
export const toasts = signal<Toast[]>([]);
let nextToast = 1;
export function toast(text: string, bad = false): void {
  const id = nextToast++;
  toasts.value = [...toasts.value.filter((t) => t.text !== text), { id, text, bad }].slice(-3);
  // What went wrong stays until it was read.
  if (!bad) setTimeout(() => dismiss(id), 4000);
}
export const dismiss = (id: number): void => void (toasts.value = toasts.value.filter((t) => t.id !== id));

export type Theme = 'system' | 'light' | 'dark';
const themeName = 'tessera.theme';
export const theme = signal<Theme>((localStorage.getItem(themeName) as Theme | null) ?? 'system');
export function setTheme(value: Theme): void {
  theme.value = value;
  localStorage.setItem(themeName, value);
  applyTheme();
}
const systemDark = matchMedia('(prefers-color-scheme: dark)');
export function applyTheme(): void {
  const dark = theme.value === 'dark' || (theme.value === 'system' && systemDark.matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
}

export function watchDevice(): void {
  applyTheme();
  systemDark.addEventListener('change', applyTheme);
  matchMedia('(max-width: 800px)').addEventListener('change', (event) => {
    narrow.value = event.matches;
    sidebarOpen.value = !event.matches;
  });
}

export function download(name: string, blob: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** capture: phones open their camera. */
export function pickFiles(accept: string, multiple: boolean, capture = false): Promise<File[]> {
  return new Promise((resolve) => {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = accept;
    input.multiple = multiple;
    if (capture) input.capture = 'environment';
    input.onchange = () => resolve([...(input.files ?? [])]);
    input.oncancel = () => resolve([]);
    input.click();
  });
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The clipboard's own interface needs https or localhost.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'unseen';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
