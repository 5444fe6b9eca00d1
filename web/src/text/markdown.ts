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
// "- [x] done": a list of things to do.
md.core.ruler.after('inline', 'tasks', ({ tokens }) => {
  tokens.forEach((token, i) => {
    const first = token.children?.[0];
    if (first?.type !== 'text' || tokens[i - 2]?.type !== 'list_item_open') return;
    first.content = first.content.replace(/^\[( |x|X)\] /, (_all, mark: string) => (mark === ' ' ? '☐ ' : '☑ '));
  });
});
type Env = NonNullable<Parameters<typeof md.parse>[1]>;

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
  /** Link definitions of what is settled. The last line's may still grow, and markdown-it keeps the first it sees. */
  private env: Env = {};

  update(source: string): { settled: readonly string[]; open: string } {
    if (!source.startsWith(this.source.slice(0, this.settledEnd))) {
      this.settledEnd = 0;
      this.settled = [];
      this.env = {};
    }
    this.source = source;
    const tail = source.slice(this.settledEnd);
    const env = { references: { ...this.env.references } };
    const tokens = md.parse(tail, env);
    const starts: number[] = [];
    tokens.forEach((token, i) => {
      if (token.level === 0 && token.nesting >= 0) starts.push(i);
    });
    // A line that is not whole can still become something else: "2" after a list is its next number.
    const lineOf = (token: number | undefined) => (token === undefined ? 0 : (tokens[token]?.map?.[0] ?? 0));
    const whole = tail.indexOf('\n', offsetOfLine(tail, lineOf(starts.at(-1)))) >= 0;
    const last = starts.at(whole ? -1 : -2) ?? starts.at(-1);
    if (last === undefined) return { settled: this.settled, open: '' };
    const done = starts.slice(0, starts.indexOf(last)).map((from, k) => md.renderer.render(tokens.slice(from, starts[k + 1]), md.options, env));
    if (done.length) {
      const end = offsetOfLine(tail, lineOf(last));
      md.parse(tail.slice(0, end), this.env);
      this.settled = [...this.settled, ...done];
      this.settledEnd += end;
    }
    return { settled: this.settled, open: md.renderer.render(tokens.slice(last), md.options, env) };
  }
}

function offsetOfLine(text: string, line: number): number {
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf('\n', at) + 1;
  return at;
}

export const renderMarkdown = (source: string): string => md.render(source);
