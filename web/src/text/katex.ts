import katex from 'katex';
import 'katex/dist/katex.min.css';

/**
 * KaTeX places its boxes by style attributes, which the Content-Security-Policy refuses in markup. The attributes are
 * renamed before the markup is parsed and set through the object model, which the policy allows.
 */
export function setMath(element: HTMLElement): void {
  const tex = element.textContent ?? '';
  const html = katex.renderToString(tex, {
    displayMode: element.dataset['display'] === 'true',
    throwOnError: false,
    trust: false,
    maxExpand: 300,
    maxSize: 20,
  });
  element.innerHTML = html.replace(/ style="/g, ' data-style="');
  for (const box of element.querySelectorAll<HTMLElement>('[data-style]')) {
    box.style.cssText = box.dataset['style'] ?? '';
    box.removeAttribute('data-style');
  }
}
