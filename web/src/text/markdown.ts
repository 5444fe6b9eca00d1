import MarkdownIt from 'markdown-it';
import { strings } from '../strings';
import { mathPlugin } from './math';

const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
md.use(mathPlugin);
// A picture's address in a reply would be fetched from somewhere: it is shown as a link and nothing is asked.
md.renderer.rules['image'] = (tokens, i) => {
  const token = tokens[i];
  const address = md.utils.escapeHtml(String(token?.attrGet('src') ?? ''));
  return `<a href="${address}" target="_blank" rel="noopener noreferrer nofollow">${md.utils.escapeHtml(token?.content || address)}</a>`;
};
md.renderer.rules['link_open'] = (tokens, i, options, _env, self) => {
  tokens[i]?.attrSet('target', '_blank');
  tokens[i]?.attrSet('rel', 'noopener noreferrer nofollow');
  return self.renderToken(tokens, i, options);
};
const codeBlock = (text: string, language: string) => {
  const name = md.utils.escapeHtml(language);
  return (
    `<div class="code"><div class="code-head"><span>${name || strings.code.plain}</span>` +
    `<button type="button" data-copy>${strings.code.copy}</button></div>` +
    `<pre tabindex="0"><code data-language="${name}">${md.utils.escapeHtml(text)}</code></pre></div>\n`
  );
};
md.renderer.rules['fence'] = (tokens, i) => codeBlock(tokens[i]?.content ?? '', (tokens[i]?.info ?? '').trim().split(/\s+/)[0] ?? '');
md.renderer.rules['code_block'] = (tokens, i) => codeBlock(tokens[i]?.content ?? '', '');
md.renderer.rules['table_open'] = () => '<div class="table" tabindex="0"><table>\n';
md.renderer.rules['table_close'] = () => '</table></div>\n';

/**
 * A text that grows, as HTML of its top-level blocks. Only the last block can still change (a list goes on, a heading's
 * underline comes), so all before it are done with and only what follows them is parsed again.
 * The HTML is not sanitised: Markdown.tsx does that.
 */
export class GrowingMarkdown {
  private source = '';
  private settledEnd = 0;
  private settled: string[] = [];
  private env = {};

  update(source: string): { settled: readonly string[]; open: string } {
    if (!source.startsWith(this.source.slice(0, this.settledEnd))) {
      this.settledEnd = 0;
      this.settled = [];
      this.env = {};
    }
    this.source = source;
    const tail = source.slice(this.settledEnd);
    const tokens = md.parse(tail, this.env);
    const starts: number[] = [];
    tokens.forEach((token, i) => {
      if (token.level === 0 && token.nesting >= 0) starts.push(i);
    });
    const last = starts.at(-1);
    if (last === undefined) return { settled: this.settled, open: '' };
    const done = starts.slice(0, -1).map((from, k) => md.renderer.render(tokens.slice(from, starts[k + 1]), md.options, this.env));
    if (done.length) {
      this.settled = [...this.settled, ...done];
      this.settledEnd += offsetOfLine(tail, tokens[last]?.map?.[0] ?? 0);
    }
    return { settled: this.settled, open: md.renderer.render(tokens.slice(last), md.options, this.env) };
  }
}

function offsetOfLine(text: string, line: number): number {
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf('\n', at) + 1;
  return at;
}

export const renderMarkdown = (source: string): string => md.render(source);
