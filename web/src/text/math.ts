import type MarkdownIt from 'markdown-it';

/**
 * $…$, \(…\) in a line; $$…$$, \[…\] as blocks or in a line. As in Pandoc, a dollar opens only before and closes only
 * after something that is not blank, and not before a digit: "$5 and $6" is money.
 * Tokens become <span class="math" data-display> with the TeX as text; enhance.ts sets it.
 */
export function mathPlugin(md: InstanceType<typeof MarkdownIt>): void {
  md.inline.ruler.before('escape', 'math', (state, silent) => {
    const found = mathAt(state.src, state.pos, state.posMax);
    if (!found) return false;
    if (!silent) {
      const token = state.push('math', '', 0);
      token.content = found.tex;
      token.meta = { display: found.display };
    }
    state.pos = found.end;
    return true;
  });
  md.block.ruler.before(
    'fence',
    'math_block',
    (state, startLine, endLine, silent) => {
      const from = (state.bMarks[startLine] as number) + (state.tShift[startLine] as number);
      const open = state.src.slice(from, from + 2);
      const close = open === '$$' ? '$$' : open === '\\[' ? '\\]' : '';
      if (!close) return false;
      for (let line = startLine; line < endLine; line++) {
        const start = line === startLine ? from + 2 : (state.bMarks[line] as number);
        const at = state.src.slice(start, state.eMarks[line]).indexOf(close);
        if (at < 0) continue;
        if (state.src.slice(start + at + 2, state.eMarks[line]).trim()) return false;
        if (silent) return true;
        const token = state.push('math_block', '', 0);
        token.content = state.src.slice(from + 2, start + at).trim();
        token.map = [startLine, line + 1];
        token.meta = { display: true };
        state.line = line + 1;
        return true;
      }
      return false;
    },
    { alt: ['paragraph', 'blockquote', 'list'] },
  );
  const render = (tex: string, display: boolean) => `<span class="math" data-display="${display}">${md.utils.escapeHtml(tex)}</span>`;
  md.renderer.rules['math'] = (tokens, i) => render(tokens[i]?.content ?? '', Boolean(tokens[i]?.meta?.['display']));
  md.renderer.rules['math_block'] = (tokens, i) => `<p>${render(tokens[i]?.content ?? '', true)}</p>\n`;
}

interface Found {
  tex: string;
  end: number;
  display: boolean;
}

export function mathAt(source: string, at: number, limit = source.length): Found | null {
  const two = source.slice(at, at + 2);
  if (two === '$$') return until(source, at + 2, '$$', limit, true);
  if (two === '\\(') return until(source, at + 2, '\\)', limit, false);
  if (two === '\\[') return until(source, at + 2, '\\]', limit, true);
  if (source[at] !== '$' || /\s/.test(source[at + 1] ?? ' ')) return null;
  for (let i = at + 1; i < limit; i++) {
    if (source[i] === '\\') i++;
    else if (source[i] === '$') {
      if (/\s/.test(source[i - 1] as string) || /\d/.test(source[i + 1] ?? '')) return null;
      return i > at + 1 ? { tex: source.slice(at + 1, i), end: i + 1, display: false } : null;
    }
  }
  return null;
}

function until(source: string, from: number, close: string, limit: number, display: boolean): Found | null {
  const at = source.indexOf(close, from);
  if (at < 0 || at + 2 > limit || !source.slice(from, at).trim()) return null;
  return { tex: source.slice(from, at).trim(), end: at + 2, display };
}
