import { sanitize } from './sanitize';

/** Colours code and sets maths in rendered markdown. Both libraries are loaded when the first such thing is seen. */

let highlighter: Promise<typeof import('./highlight')> | undefined;
let mathSetter: Promise<typeof import('./katex')> | undefined;

const sliceMs = 6;
let sliceEnd = 0;
/** Lets the page draw when it has waited long enough: a reply may hold hundreds of formulas. */
async function breathe(): Promise<void> {
  if (performance.now() < sliceEnd) return;
  await new Promise((resolve) => setTimeout(resolve));
  sliceEnd = performance.now() + sliceMs;
}

export async function enhance(root: HTMLElement): Promise<void> {
  const codes = [...root.querySelectorAll<HTMLElement>('code[data-language]:not([data-language=""]):not([data-done])')];
  const maths = [...root.querySelectorAll<HTMLElement>('.math:not([data-done])')];
  // Marked first: a second call while the library loads must not do the same work.
  for (const element of [...codes, ...maths]) element.dataset['done'] = '';
  if (codes.length) {
    highlighter ??= import('./highlight');
    const { highlight } = await highlighter;
    for (const code of codes) {
      await breathe();
      const html = highlight(code.textContent ?? '', code.dataset['language'] ?? '');
      if (html !== null) code.innerHTML = sanitize(html);
    }
  }
  if (maths.length) {
    mathSetter ??= import('./katex');
    const { setMath } = await mathSetter;
    for (const math of maths) {
      await breathe();
      setMath(math);
    }
  }
}
