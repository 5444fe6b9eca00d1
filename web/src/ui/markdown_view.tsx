import { memo } from 'preact/compat';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { strings } from '../strings';
import { enhance } from '../text/enhance';
import { GrowingMarkdown } from '../text/markdown';
import { sanitize } from '../text/sanitize';
import { copyText } from './view';

/** Finished blocks keep their place in the list and their text, so a growing reply renders its last block only. */
const Block = memo(function Block({ html, open }: { html: string; open: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  const clean = useMemo(() => ({ __html: sanitize(html) }), [html]);
  useEffect(() => {
    if (!open && ref.current) void enhance(ref.current);
  }, [clean, open]);
  return <div ref={ref} class="block" dangerouslySetInnerHTML={clean} />;
});

async function copyCode(event: MouseEvent): Promise<void> {
  const button = (event.target as HTMLElement).closest<HTMLElement>('[data-copy]');
  const code = button?.closest('.code')?.querySelector('code');
  if (!button || !code || !(await copyText(code.textContent ?? ''))) return;
  button.textContent = strings.code.copied;
  setTimeout(() => (button.textContent = strings.code.copy), 1500);
}

/** growing: more of the text is to come. */
export function MarkdownView({ text, growing }: { text: string; growing: boolean }) {
  const grower = useRef<GrowingMarkdown | null>(null);
  const { settled, open } = useMemo(() => (grower.current ??= new GrowingMarkdown()).update(text), [text]);
  return (
    <div class="markdown" onClick={(event) => void copyCode(event)}>
      {settled.map((html, i) => (
        <Block key={i} html={html} open={false} />
      ))}
      {open && <Block key={settled.length} html={open} open={growing} />}
    </div>
  );
}
