import { describe, expect, it } from 'vitest';
import { mathAt } from '../../src/text/math';
import { GrowingMarkdown, renderMarkdown } from '../../src/text/markdown';
import { longReply } from '../mock';

describe('maths', () => {
  it('takes TeX and leaves money', () => {
    expect(mathAt('$x+1$', 0)).toEqual({ tex: 'x+1', end: 5, display: false });
    expect(mathAt('$$x$$', 0)).toEqual({ tex: 'x', end: 5, display: true });
    expect(mathAt('\\(a\\) b', 0)).toEqual({ tex: 'a', end: 5, display: false });
    expect(mathAt('\\[a\\]', 0)?.display).toBe(true);
    for (const money of ['$5 and $6', '$ 5$', '$5 $', '$', '$$', '$$$$', '$x']) expect(mathAt(money, 0)).toBeNull();
  });
  it('does not swallow what follows an unclosed block', () => {
    expect(renderMarkdown('$$\nx\n\n# Title')).toContain('<h1>Title</h1>');
  });
});

describe('markdown', () => {
  it('shows no HTML and fetches no picture', () => {
    expect(renderMarkdown('<img src=x onerror=alert(1)>')).not.toContain('<img');
    expect(renderMarkdown('![cat](https://example.org/cat.png)')).not.toContain('<img');
    expect(renderMarkdown('[a](javascript:alert(1))')).not.toContain('href');
  });

  // Metamorphic: however a text is cut, the whole is what it is at once.
  it('grows to the same blocks, cut anywhere', () => {
    const texts = [longReply, '1. a\n\n   b\n\n2. c\n\ntext\n===\n\n- x\n- y\n\n\n```\ncode\n\nmore\n```\n~~~\nopen', '[a][1]\n\n[1]: https://x.org\n\nafter', '\n\n\nx'];
    for (const text of texts) {
      const whole = new GrowingMarkdown().update(text);
      for (const step of [1, 7, 50]) {
        const grown = new GrowingMarkdown();
        for (let i = step; i < text.length; i += step) grown.update(text.slice(0, i));
        const { settled, open } = grown.update(text);
        expect([...settled, open].join('')).toBe([...whole.settled, whole.open].join(''));
      }
      if (!text.includes('[1]')) expect([...whole.settled, whole.open].join('')).toBe(renderMarkdown(text));
    }
  });

  it('shows tasks', () => {
    expect(renderMarkdown('- [ ] a\n- [x] b\n- [y] c\n\n[x] d')).toMatch(/☐ a[^]*☑ b[^]*\[y\] c[^]*\[x\] d/);
  });

  it('parses only what is not settled', () => {
    const grown = new GrowingMarkdown();
    const first = grown.update('one\n\ntwo\n\nthree\n').settled;
    const second = grown.update('one\n\ntwo\n\nthree\n\nfour\n').settled;
    expect(first).toHaveLength(2);
    expect(second.slice(0, 2)).toEqual(first);
    expect(grown.update('something else').settled).toEqual([]);
  });
});
