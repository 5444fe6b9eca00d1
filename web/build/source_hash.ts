import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What src/ui/examples.ts fetches, of ../examples. */
export const examples = ['departures.png', 'digits.wav', 'pictures.png', 'question.wav'];

/** What the build is made of. tests/web/sources_hash.sh computes the same with sha256sum. */
const roots = ['build', 'src', 'index.html', 'package.json', 'package-lock.json', 'public/recorder-worklet.js', 'tsconfig.json', 'vite.config.ts', ...examples.map((name) => `../examples/${name}`)];

const files = (path: string): string[] => {
  try {
    return readdirSync(path).flatMap((name) => files(join(path, name)));
  } catch {
    return [path];
  }
};

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

/** SHA-256 of the lines "hash  path", sorted by path as bytes. */
export function sourceHash(): string {
  const paths = roots.flatMap(files).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sha256(paths.map((path) => `${sha256(readFileSync(path))}  ${path}\n`).join(''));
}
