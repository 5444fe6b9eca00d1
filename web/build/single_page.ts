import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'fflate';
import type { Plugin } from 'vite';
import { sourceHash } from './source_hash';

/**
 * After the build: puts script and style into the page, with their hashes in its Content-Security-Policy, and writes
 * dist/: every file, compressed where that helps, and manifest.txt, which says how to serve them.
 */

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  woff2: 'font/woff2',
  png: 'image/png',
  wav: 'audio/wav',
  txt: 'text/plain; charset=utf-8',
};
const squeezed = new Set(['html', 'js', 'css', 'txt']);

const walk = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? walk(join(folder, e.name)) : [join(folder, e.name)]));

const digest = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The policy stands in the page itself, so that it holds whatever serves it. */
export function policy(script: string, style: string): string {
  return [
    "default-src 'none'",
    `script-src 'self' ${digest(script)}`,
    `style-src 'self' ${digest(style)}`,
    "font-src 'self'",
    "img-src 'self' blob: data:",
    "media-src blob: data:",
    "connect-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">' +
  [0, 1, 2].flatMap((y) => [0, 1, 2].map((x) => `<rect x="${1.5 + x * 7.4}" y="${1.5 + y * 7.4}" width="6.2" height="6.2" rx="1.4" fill="${x === 1 && y === 1 ? '#d9822b' : '#23645c'}"/>`)).join('') +
  '</svg>';

function inline(out: string): void {
  const page = join(out, 'index.html');
  let html = readFileSync(page, 'utf8');
  const script = readFileSync(join(out, 'main.js'), 'utf8').trim().replace(/<\/script/gi, '<\\/script').replace(/<!--/g, '<\\!--');
  let style = '';
  html = html.replace(/\s*<link rel="stylesheet"[^>]*href="\.\/([^"]+)"[^>]*>/g, (_all, path: string) => {
    style += readFileSync(join(out, path), 'utf8').trim();
    rmSync(join(out, path));
    return '';
  });
  html = html.replace(/\s*<script type="module"[^>]*><\/script>/, '');
  const head =
    `<meta http-equiv="Content-Security-Policy" content="${policy(script, style)}">` +
    `<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(icon)}">`;
  // Functions, because "$&" in the script would be read as a pattern.
  html = html.replace('<meta charset="utf-8" />', (charset) => charset + head);
  html = html.replace('</head>', () => `<style>${style}</style></head>`);
  html = html.replace('</body>', () => `<script type="module">${script}</script></body>`);
  writeFileSync(page, html.replace(/\n\s*/g, (gap, at: number, all: string) => (at < all.indexOf('<style>') || all.startsWith('</', at + gap.length) ? '' : gap)));
  rmSync(join(out, 'main.js'));
}

function pack(out: string, dist: string): void {
  rmSync(dist, { recursive: true, force: true });
  const lines: string[] = [];
  for (const path of walk(out).sort()) {
    const name = relative(out, path).split('\\').join('/');
    const ending = name.split('.').pop() ?? '';
    const type = types[ending];
    // KaTeX names older font formats that no browser that runs this page asks for.
    if (ending === 'woff' || ending === 'ttf') continue;
    if (!type) throw new Error(`build/single_page.ts does not know how to serve ${name}`);
    const bytes = readFileSync(path);
    // main.js is inside the page: a part that imports from it would find nothing.
    if (ending === 'js' && bytes.includes('main.js')) throw new Error(`${name} imports from the page's script; move what they share`);
    // fflate and not zlib: its bytes do not depend on the version of Node.
    const packed = squeezed.has(ending) ? gzipSync(bytes, { level: 9, mtime: 0 }) : bytes;
    const file = squeezed.has(ending) ? `${name}.gz` : name;
    // Example pictures are in the repository already.
    const example = name.startsWith('examples/');
    if (!example) {
      mkdirSync(join(dist, file, '..'), { recursive: true });
      writeFileSync(join(dist, file), packed);
    }
    const address = name === 'index.html' ? '/' : `/${name}`;
    // A name with a hash never changes its content.
    const forever = /-[\w-]{8}\.\w+$/.test(name);
    lines.push([address, example ? `../../${name}` : file, squeezed.has(ending) ? 'gzip' : 'identity', forever ? 'forever' : 'revalidate', type].join('\t'));
  }
  const header = '# address, file (beside this one), content-encoding, cache, content-type; tab-separated. Written by npm run build.';
  writeFileSync(join(dist, 'manifest.txt'), `${header}\n# sources ${sourceHash()}\n${lines.join('\n')}\n`);
}

export function singlePage(): Plugin {
  return {
    name: 'single-page',
    apply: 'build',
    closeBundle() {
      inline('out');
      pack('out', 'dist');
    },
  };
}
